//! The ciphers of values: AES-GCM, AES-CBC and secretbox, in the layouts that kube-apiserver writes.
//!
//! What AES-GCM seals opens under the storage key it was sealed for alone; the other two do not know where a value
//! belongs, and AES-CBC does not notice every change either.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, StreamCipher};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};
use poly1305::Poly1305;
use ring::rand::{SecureRandom, SystemRandom};
use salsa20::XSalsa20;
use subtle::ConstantTimeEq as _;

const GCM_NONCE: usize = 12;
const BLOCK: usize = 16;
const BOX_NONCE: usize = 24;
const BOX_TAG: usize = 16;

/// Seals values with one key, and opens them.
pub(super) trait Cipher: Send + Sync {
    /// The sealed form of a value that belongs to a storage key; none if there are no random numbers.
    fn seal(&self, key: &str, value: &[u8]) -> Option<Vec<u8>>;

    /// The value; none if it was not sealed so.
    fn open(&self, key: &str, sealed: &[u8]) -> Option<Vec<u8>>;
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok().map(|()| bytes)
}

/// AES-GCM with a key of 16, 24 or 32 bytes.
pub(super) fn gcm(secret: &[u8]) -> Option<Box<dyn Cipher>> {
    Some(match secret.len() {
        16 => Box::new(Gcm(Aes128Gcm::new_from_slice(secret).ok()?)),
        24 => Box::new(Gcm(AesGcm::<Aes192, U12>::new_from_slice(secret).ok()?)),
        32 => Box::new(Gcm(Aes256Gcm::new_from_slice(secret).ok()?)),
        _ => return None,
    })
}

/// AES-CBC with a key of 16, 24 or 32 bytes.
pub(super) fn cbc(secret: &[u8]) -> Option<Box<dyn Cipher>> {
    matches!(secret.len(), 16 | 24 | 32).then(|| Box::new(Cbc(secret.to_vec())) as Box<dyn Cipher>)
}

/// XSalsa20 and Poly1305 with a key of 32 bytes, as NaCl's `secretbox` joins them.
pub(super) fn secretbox(secret: &[u8]) -> Option<Box<dyn Cipher>> {
    Some(Box::new(SecretBox(secret.try_into().ok()?)))
}

/// Nonce, then what was sealed, then the tag.
struct Gcm<C>(C);

impl<C: Aead<NonceSize = U12> + Send + Sync> Cipher for Gcm<C> {
    fn seal(&self, key: &str, value: &[u8]) -> Option<Vec<u8>> {
        let nonce = random::<GCM_NONCE>()?;
        let body = self.0.encrypt(&nonce.into(), Payload { msg: value, aad: key.as_bytes() }).ok()?;
        Some([nonce.as_slice(), &body].concat())
    }

    fn open(&self, key: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_first_chunk::<GCM_NONCE>()?;
        self.0.decrypt(&(*nonce).into(), Payload { msg: body, aad: key.as_bytes() }).ok()
    }
}

/// First block, then what was sealed, filled up to whole blocks.
struct Cbc(Vec<u8>);

/// Works with the length of the key.
macro_rules! by_length {
    ($mode:ident, $secret:expr, $first:expr, $then:expr) => {
        match $secret.len() {
            16 => cbc::$mode::<Aes128>::new_from_slices($secret, $first).ok().and_then($then),
            24 => cbc::$mode::<Aes192>::new_from_slices($secret, $first).ok().and_then($then),
            _ => cbc::$mode::<Aes256>::new_from_slices($secret, $first).ok().and_then($then),
        }
    };
}

impl Cipher for Cbc {
    fn seal(&self, _: &str, value: &[u8]) -> Option<Vec<u8>> {
        let first = random::<BLOCK>()?;
        let body =
            by_length!(Encryptor, &self.0, &first, |mode| Some(mode.encrypt_padded_vec::<Pkcs7>(value)))?;
        Some([first.as_slice(), &body].concat())
    }

    fn open(&self, _: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (first, body) = sealed.split_first_chunk::<BLOCK>()?;
        by_length!(Decryptor, &self.0, first, |mode| mode.decrypt_padded_vec::<Pkcs7>(body).ok())
    }
}

/// Nonce, tag, then what was sealed.
struct SecretBox([u8; 32]);

impl SecretBox {
    /// The stream of a nonce and the tag's key, with which it begins.
    fn begin(&self, nonce: &[u8; BOX_NONCE]) -> Option<(XSalsa20, Poly1305)> {
        let mut stream = XSalsa20::new_from_slices(&self.0, nonce).ok()?;
        let mut key = [0; 32];
        stream.try_apply_keystream(&mut key).ok()?;
        Some((stream, Poly1305::new(&key.into())))
    }
}

impl Cipher for SecretBox {
    fn seal(&self, _: &str, value: &[u8]) -> Option<Vec<u8>> {
        let nonce = random::<BOX_NONCE>()?;
        let (mut stream, tag) = self.begin(&nonce)?;
        let mut body = value.to_vec();
        stream.try_apply_keystream(&mut body).ok()?;
        let tag = tag.compute_unpadded(&body);
        Some([nonce.as_slice(), tag.as_slice(), &body].concat())
    }

    fn open(&self, _: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk::<BOX_NONCE>()?;
        let (given, body) = rest.split_first_chunk::<BOX_TAG>()?;
        let (mut stream, tag) = self.begin(nonce)?;
        if !bool::from(tag.compute_unpadded(body).as_slice().ct_eq(given)) {
            return None;
        }
        let mut body = body.to_vec();
        stream.try_apply_keystream(&mut body).ok()?;
        Some(body)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "/registry/secrets/default/s";

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    fn all() -> Vec<Box<dyn Cipher>> {
        let secret: Vec<u8> = (0..32).collect();
        let mut all = vec![secretbox(&secret).unwrap()];
        for length in [16, 24, 32] {
            all.extend([gcm(&secret[..length]).unwrap(), cbc(&secret[..length]).unwrap()]);
        }
        all
    }

    #[test]
    fn what_is_sealed_opens_and_is_never_the_same_twice() {
        for cipher in all() {
            for value in [b"".as_slice(), b"hunter2", &[7; 100]] {
                let sealed = cipher.seal(KEY, value).unwrap();
                assert_eq!(cipher.open(KEY, &sealed).unwrap(), value);
                assert_ne!(cipher.seal(KEY, value).unwrap(), sealed);
                assert!(value.is_empty() || !sealed.windows(value.len()).any(|window| window == value));
            }
        }
        assert!(gcm(&[0; 20]).is_none() && cbc(&[0; 20]).is_none() && secretbox(&[0; 16]).is_none());
    }

    #[test]
    fn the_layouts_are_those_of_other_implementations() {
        // NaCl's own test of secretbox.
        let key = bytes("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
        let sealed = bytes(
            "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c2\
             9650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6\
             fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e\
             88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5",
        );
        let open = secretbox(&key).unwrap().open(KEY, &sealed).unwrap();
        assert_eq!(
            (open.len(), &open[..4], &open[128..]),
            (131, bytes("be075fc5").as_slice(), bytes("5e0705").as_slice())
        );
        // By OpenSSL.
        let secret: Vec<u8> = (0..32).collect();
        for (cipher, sealed) in [
            (gcm(&secret[..16]), "6465666768696a6b6c6d6e6f721720d1be708a05c625122fb5819abe46953d152d10a4"),
            (cbc(&secret[..16]), "32333435363738393a3b3c3d3e3f4041279c929f55b2b4cb2b0222f3cd16a58c"),
            (gcm(&secret[..24]), "6465666768696a6b6c6d6e6f811dd50837dd3ca12422d051af8841abd8aa29c422a9da"),
            (cbc(&secret[..24]), "32333435363738393a3b3c3d3e3f4041aee2cddb382ef248a576db413c4a4379"),
            (gcm(&secret[..32]), "6465666768696a6b6c6d6e6f206eb0121c9b6402b623cc01a59f8c39e8a31db06776bf"),
            (cbc(&secret[..32]), "32333435363738393a3b3c3d3e3f4041932178ec61a4affa82e8bfc578f67c5f"),
        ] {
            assert_eq!(cipher.unwrap().open(KEY, &bytes(sealed)).unwrap(), b"hunter2", "{sealed}");
        }
    }

    #[test]
    fn what_was_changed_or_belongs_elsewhere_does_not_open() {
        let secret = [7; 32];
        for cipher in [gcm(&secret).unwrap(), secretbox(&secret).unwrap()] {
            let sealed = cipher.seal(KEY, b"hunter2").unwrap();
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert_eq!(cipher.open(KEY, &changed), None, "byte {at}");
            }
        }
        let cipher = gcm(&secret).unwrap();
        let sealed = cipher.seal(KEY, b"hunter2").unwrap();
        assert_eq!(cipher.open("/registry/secrets/default/t", &sealed), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_opened_or_refused(sealed: Vec<u8>) {
            for cipher in all() {
                drop(cipher.open(KEY, &sealed));
            }
        }
    }
}
