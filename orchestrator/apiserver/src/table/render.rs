//! The `Table` object around a kind's cells.

use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use wherry_schema::Value;

use super::{Column, definitions};
use crate::error::Failure;
use crate::kinds::Rules;
use crate::request::negotiate::Include;

/// Turns objects into tables, one request long.
#[derive(Clone, Copy)]
pub(crate) struct Renderer<'a> {
    /// The rules of the kind shown.
    pub(crate) rules: &'a dyn Rules,
    /// The version of `meta.k8s.io` asked for.
    pub(crate) version: &'static str,
    /// How much of each object a row carries.
    pub(crate) include: Include,
    /// The time ages are counted to.
    pub(crate) now: Timestamp,
}

/// The metadata of an object, uncopied.
#[derive(Deserialize)]
pub(crate) struct MetadataOnly<'a> {
    /// The JSON text of the field.
    #[serde(borrow)]
    pub(crate) metadata: &'a RawValue,
}

impl Renderer<'_> {
    /// A table of these stored objects. Later tables of one watch leave out the columns.
    pub(crate) fn table<'o>(
        &self,
        objects: impl Iterator<Item = &'o [u8]>,
        metadata: &str,
        with_columns: bool,
    ) -> Result<Bytes, Failure> {
        let columns = if with_columns { self.rules.column_definitions() } else { b"null".to_vec() };
        let mut out = start(self.version, metadata, &columns);
        for (index, object) in objects.enumerate() {
            if index > 0 {
                out.put_u8(b',');
            }
            self.row(&mut out, object)?;
        }
        out.put_slice(b"]}");
        Ok(out.freeze())
    }

    fn row(&self, out: &mut BytesMut, stored: &[u8]) -> Result<(), Failure> {
        let object = Value::from_json(stored).map_err(|e| Failure::corrupt("(in a table)", &e))?;
        out.put_slice(b"{\"cells\":");
        out.put_slice(&Value::Array(self.rules.cells(&object, self.now)).to_json_bytes());
        if let Some(conditions) = self.rules.row_conditions(&object) {
            out.put_slice(b",\"conditions\":");
            out.put_slice(&conditions.to_json_bytes());
        }
        match self.include {
            Include::None => out.put_slice(b",\"object\":null"),
            Include::Object => {
                out.put_slice(b",\"object\":");
                out.put_slice(stored);
            }
            Include::Metadata => {
                out.put_slice(b",\"object\":");
                out.put_slice(&partial(stored, self.version)?);
            }
        }
        out.put_u8(b'}');
        Ok(())
    }
}

fn start(version: &str, metadata: &str, columns: &[u8]) -> BytesMut {
    let mut out = BytesMut::with_capacity(4096);
    out.put_slice(b"{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/");
    out.put_slice(version.as_bytes());
    out.put_slice(b"\",\"metadata\":");
    out.put_slice(metadata.as_bytes());
    out.put_slice(b",\"columnDefinitions\":");
    out.put_slice(columns);
    out.put_slice(b",\"rows\":[");
    out
}

/// An object reduced to its metadata.
pub(crate) fn partial(stored: &[u8], version: &str) -> Result<Bytes, Failure> {
    let object: MetadataOnly<'_> =
        serde_json::from_slice(stored).map_err(|e| Failure::corrupt("(metadata)", &e))?;
    let head = format!(
        "{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":"
    );
    let mut out = BytesMut::with_capacity(head.len() + object.metadata.get().len() + 1);
    out.put_slice(head.as_bytes());
    out.put_slice(object.metadata.get().as_bytes());
    out.put_u8(b'}');
    Ok(out.freeze())
}

/// A table of columns and cells that no kind defines (a Scale).
pub(crate) fn table_of(
    version: &str,
    metadata: &str,
    (columns, cells): (&[Column], Vec<Value>),
    stored: &[u8],
) -> Result<Bytes, Failure> {
    let mut out = start(version, metadata, &definitions(columns));
    out.put_slice(b"{\"cells\":");
    out.put_slice(&Value::Array(cells).to_json_bytes());
    out.put_slice(b",\"object\":");
    out.put_slice(&partial(stored, version)?);
    out.put_slice(b"}]}");
    Ok(out.freeze())
}
