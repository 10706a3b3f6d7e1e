//! What comes over D-Bus: a message, and the address of a bus. No panic; what was read is written so that it is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wherry_dbus::{Address, Message};

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(Address(path)) = text.parse()
    {
        assert!(path.is_absolute());
    }
    let Ok(message) = Message::from_bytes(input) else { return };
    // Values of types that are not known are left out, once.
    let again = Message::from_bytes(&message.to_bytes()).expect("what is written can be read");
    assert_eq!(again, message);
});
