//! `wherry certificate`: which certificates there are, and new ones.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::watch;
use wherry_api::clock::{Clock as _, SystemClock};
use wherry_node::EndpointTls;
use wherry_orchestrator::CertificatesInUse;
use wherry_orchestrator::pki::{self, Listed, Pki};

use crate::args::{DataDirArgs, RotateCertificatesArgs};

/// Tells which certificates there are and when they end.
pub(crate) fn check(args: DataDirArgs) -> anyhow::Result<()> {
    let listed = pki::list(&args.open()?.join("pki")).context("there is no cluster")?;
    let table = table(&listed, SystemClock.now());
    Ok(std::io::stdout().lock().write_all(table.as_bytes())?)
}

/// Has certificates made anew.
pub(crate) fn rotate(args: RotateCertificatesArgs) -> anyhow::Result<()> {
    let dir = args.data_dir.open()?.join("pki");
    pki::list(&dir).context("there is no cluster")?;
    if args.ca {
        pki::rotate_authority(&dir, SystemClock.now())?;
    } else {
        pki::rotate_leaves(&dir)?;
    }
    let told = "a running cluster has new certificates within a minute, another when it starts\n";
    Ok(std::io::stdout().lock().write_all(told.as_bytes())?)
}

fn table(listed: &[Listed], now: Timestamp) -> String {
    let header = ["FILENAME", "SUBJECT", "EXPIRES", "RESIDUAL TIME", "STATUS"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(header).chain(listed.iter().map(|one| row(one, now))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [0, 1, 2, 3].map(width);
    let mut out = String::new();
    for [file, subject, ends, left, status] in &rows {
        let [a, b, c, d] = widths;
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{file:a$}   {subject:b$}   {ends:c$}   {left:d$}   {status}");
    }
    out
}

fn row(one: &Listed, now: Timestamp) -> [String; 5] {
    let left = one.not_after.as_second() - now.as_second();
    let residual = if left <= 0 {
        "<invalid>".to_owned()
    } else if left < 2 * 86_400 {
        format!("{}h", left / 3600)
    } else {
        format!("{}d", left / 86_400)
    };
    let status = if left <= 0 {
        "EXPIRED"
    } else if now < one.not_before {
        "NOT YET VALID"
    } else {
        "OK"
    };
    let ends = one.not_after.strftime("%b %d, %Y %H:%M UTC").to_string();
    [one.file.clone(), one.subject.clone(), ends, residual, status.to_owned()]
}

/// What the node's endpoint serves with.
pub(crate) fn endpoint_tls(pki: &Pki) -> EndpointTls {
    EndpointTls {
        cert: pki.node_server.cert.clone(),
        key: pki.node_server.key.clone(),
        client_ca: pki.ca.clone(),
    }
}

/// Hands new certificates of the cluster to the node's endpoint, until there are no more.
pub(crate) async fn follow(mut from: CertificatesInUse, to: watch::Sender<Option<EndpointTls>>) {
    while from.changed().await.is_ok() {
        let tls = Some(endpoint_tls(&from.borrow_and_update()));
        to.send_if_modified(|current| {
            let differs = *current != tls;
            *current = tls;
            differs
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_what_ends_when() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let listed = |file: &str, from: &str, until: &str| Listed {
            file: file.to_owned(),
            subject: "CN=a".to_owned(),
            not_before: at(from),
            not_after: at(until),
        };
        let all = [
            listed("admin.crt", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            listed("ca.crt", "2026-01-01T00:00:00Z", "2026-02-02T10:00:00Z"),
            listed("old.crt", "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            listed("new.crt", "2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z"),
        ];
        let expected = "\
FILENAME    SUBJECT   EXPIRES                  RESIDUAL TIME   STATUS
admin.crt   CN=a      Jan 01, 2027 00:00 UTC   334d            OK
ca.crt      CN=a      Feb 02, 2026 10:00 UTC   34h             OK
old.crt     CN=a      Jan 01, 2026 00:00 UTC   <invalid>       EXPIRED
new.crt     CN=a      Jan 01, 2029 00:00 UTC   1065d           NOT YET VALID
";
        let table = table(&all, at("2026-02-01T00:00:00Z"));
        assert_eq!(table, expected);
    }
}
