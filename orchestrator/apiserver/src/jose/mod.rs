//! JSON Web Tokens (RFC 7515, 7517, 7518, 7519): those of this cluster and those of other issuers.
//!
//! Reading order: [`Compact`] (a token taken apart), [`Algorithm`] (how tokens may be signed), [`PublicKey`] (checks
//! signatures), [`SigningKey`] (makes them). Only algorithms with a public key exist here: no header can choose `none`
//! or turn a public key into a shared secret.

mod algorithm;
mod compact;
mod public_key;
mod signing_key;

pub(crate) use algorithm::Algorithm;
pub(crate) use compact::Compact;
pub(crate) use public_key::PublicKey;
pub use signing_key::KeyError;
pub(crate) use signing_key::SigningKey;

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::signing_key::tests::RSA;
}
