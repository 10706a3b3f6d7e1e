//! A logind that a test plays, on a bus of dbus-daemon's.

use std::os::fd::AsFd as _;

use wherry_dbus::testing::Bus;

use super::*;

/// Who answers in logind's name, and in systemd's.
async fn played(bus: &Bus) -> Connection {
    let mut connection = Connection::open(&bus.address).await.unwrap();
    for name in [LOGIND, "org.freedesktop.systemd1"] {
        connection.ask("RequestName", vec![text(name), Value::U32(0)]).await.unwrap();
    }
    connection
}

/// The next call, once it came.
async fn called(connection: &mut Connection, member: &str) -> Message {
    loop {
        let (message, _) = connection.next_message().await.unwrap();
        if message.kind == Kind::Call {
            assert_eq!(message.member.as_deref(), Some(member), "{message:?}");
            return message;
        }
    }
}

/// Answers how long delays may be.
async fn tell_longest(connection: &mut Connection, delay: Duration) {
    let asked = called(connection, "Get").await;
    assert_eq!(asked.body, [text(MANAGER), text("InhibitDelayMaxUSec")]);
    let micros = Value::U64(u64::try_from(delay.as_micros()).unwrap());
    connection.send(Message::answer(&asked, vec![Value::Variant(Box::new(micros))]), &[]).await.unwrap();
}

const WANTED: Duration = Duration::from_millis(30_500);

#[tokio::test]
async fn delays_are_made_longer_where_they_are_too_short() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::start(dir.path());
    let mut system = played(&bus).await;
    let configuration = dir.path().join("logind.conf.d");
    let mut logind = Logind::open_at(&bus.address, configuration.clone()).await.unwrap();
    let enough = async { tell_longest(&mut system, WANTED).await };
    let (allowed, ()) = tokio::join!(logind.allow(WANTED), enough);
    allowed.unwrap();
    assert!(!configuration.exists(), "nothing had to be changed");

    let file = configuration.join(FILE);
    let too_short = async {
        tell_longest(&mut system, Duration::from_secs(5)).await;
        let asked = called(&mut system, "KillUnit").await;
        assert_eq!(asked.body, [text("systemd-logind.service"), text("all"), Value::I32(1)]);
        assert!(fs::read_to_string(&file).unwrap().ends_with("[Login]\nInhibitDelayMaxSec=31\n"));
        system.send(Message::answer(&asked, Vec::new()), &[]).await.unwrap();
        tell_longest(&mut system, Duration::from_secs(5)).await;
        tell_longest(&mut system, Duration::from_secs(31)).await;
    };
    let (allowed, ()) = tokio::join!(logind.allow(WANTED), too_short);
    allowed.unwrap();
}

#[tokio::test]
async fn a_delay_lasts_until_it_is_dropped_and_the_end_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::start(dir.path());
    let mut system = played(&bus).await;
    let mut logind = Logind::open_at(&bus.address, dir.path().join("none")).await.unwrap();
    let (mut held, given) = std::io::pipe().unwrap();
    let give = async {
        let asked = called(&mut system, "Inhibit").await;
        assert_eq!(
            (asked.body.len(), &asked.body[0], &asked.body[3]),
            (4, &text("shutdown"), &text("delay"))
        );
        system.send(Message::answer(&asked, vec![Value::File(0)]), &[given.as_fd()]).await.unwrap();
        drop(given);
        for begins in [true, false] {
            let other = Message::signal(PATH, MANAGER, "PrepareForSleep", vec![Value::Bool(true)]);
            let signal = Message::signal(PATH, MANAGER, SIGNAL, vec![Value::Bool(begins)]);
            for signal in [other, signal] {
                system.send(signal, &[]).await.unwrap();
            }
        }
    };
    let (delay, ()) = tokio::join!(logind.delay(), give);
    assert!(logind.told().await.unwrap());
    assert!(!logind.told().await.unwrap());
    rustix::io::ioctl_fionbio(&held, true).unwrap();
    let waits = std::io::Read::read(&mut held, &mut [0]).unwrap_err();
    assert_eq!(waits.kind(), io::ErrorKind::WouldBlock, "nobody holds the delay");
    drop(delay);
    assert_eq!(std::io::Read::read(&mut held, &mut [0]).unwrap(), 0);
    drop(bus);
    assert!(matches!(logind.told().await, Err(LogindError::Bus(_))));
}
