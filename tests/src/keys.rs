//! A pair of keys of Ed25519 for tests alone, as openssl wrote them.

/// What signs.
pub const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIEvUhZDpSF7hDzs35JJi3ZTpTA6XzMcWIjNjbV+5l56X
-----END PRIVATE KEY-----
";
/// What shows that it signed.
pub const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAPE8mqxqfDdBELfIL/kgQr7Sz3H04w+iO0+c9wu9/wyw=
-----END PUBLIC KEY-----
";
/// That of somebody else.
pub const OTHER: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA/GgWlvj8XS/WgQK6MN3YWyaJQceyTRLbN+hfDREqecE=
-----END PUBLIC KEY-----
";
