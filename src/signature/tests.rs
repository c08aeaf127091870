#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Signature, SignatureError, Signer, SigningKey, read_signers};

/// What ssh-keygen and `cryptography` made, and ssh-keygen verified; `make.py` beside it says how.
fn fixture(name: &str) -> PathBuf {
    Path::new("tests/fixtures/signatures").join(name)
}

fn message() -> Vec<u8> {
    fs::read(fixture("message.json")).unwrap()
}

fn signers() -> BTreeSet<Signer> {
    read_signers(&fixture("allowed_signers")).unwrap()
}

fn signature(name: &str) -> Signature {
    let text = fs::read_to_string(fixture(&format!("{name}.sig"))).unwrap();
    Signature::parse(&text).unwrap()
}

fn check(name: &str) -> Result<(), SignatureError> {
    signature(name).check(&message(), &format!("{name}@example.org"), &signers())
}

#[test]
fn signatures_by_keys_of_every_kind_count() {
    for name in [
        "ed25519",
        "sha256",
        "ecdsa-256",
        "ecdsa-384",
        "ecdsa-521",
        "rsa-2048",
        "sk-ed25519",
        "sk-ecdsa",
    ] {
        assert_eq!(check(name), Ok(()), "{name}");
        let other = signature(name).check(b"{}\n", &format!("{name}@example.org"), &signers());
        assert!(
            matches!(other, Err(SignatureError::Mismatch(_))),
            "{name}: {other:?}"
        );
    }
}

#[test]
fn a_signature_for_git_is_none_for_an_event() {
    let checked = check("of-git");
    assert_eq!(
        checked,
        Err(SignatureError::OtherNamespace("git".to_owned()))
    );
}

#[test]
fn a_hardware_key_that_nobody_touched_does_not_count() {
    assert!(matches!(
        check("untouched"),
        Err(SignatureError::Untouched(_))
    ));
}

#[test]
fn a_key_counts_for_its_owner_only() {
    let by = "rsa-2048@example.org";
    let checked = signature("ed25519").check(&message(), by, &signers());
    assert!(
        matches!(checked, Err(SignatureError::OtherPerson { .. })),
        "{checked:?}"
    );
    let mut others = signers();
    others.retain(|signer| signer.email() == by);
    let checked = signature("ed25519").check(&message(), "ed25519@example.org", &others);
    assert!(
        matches!(checked, Err(SignatureError::Stranger(_))),
        "{checked:?}"
    );
}

#[test]
fn what_was_changed_is_malformed_or_does_not_count() {
    let text = fs::read_to_string(fixture("ed25519.sig")).unwrap();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = match bytes[at] {
            b'A' => b'B',
            _ => b'A',
        };
        let changed = String::from_utf8(bytes).unwrap();
        let Ok(parsed) = Signature::parse(&changed) else {
            continue;
        };
        let checked = parsed.check(&message(), "ed25519@example.org", &signers());
        assert!(checked.is_err(), "byte {at} was changed: {changed}");
    }
    assert!(Signature::parse("").is_err());
}

#[test]
fn documents_hold_signers_and_signatures_as_they_are() {
    for signer in signers() {
        let text = serde_json::to_string(&signer).unwrap();
        assert_eq!(serde_json::from_str::<Signer>(&text).unwrap(), signer);
    }
    let known = signature("rsa-2048");
    let text = serde_json::to_string(&known).unwrap();
    assert_eq!(serde_json::from_str::<Signature>(&text).unwrap(), known);
    assert!(serde_json::from_str::<Signer>("\"ana@example.org\"").is_err());
    assert!(serde_json::from_str::<Signature>("\"yes\"").is_err());
}

#[test]
fn a_file_of_signers_is_read_as_ssh_keygen_reads_it_or_its_faults_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("allowed_signers");
    let known = fs::read_to_string(fixture("allowed_signers")).unwrap();
    let key = known.lines().next().unwrap().split_once(' ').unwrap().1;
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        read_signers(&path)
    };
    let found = read(&format!(
        "# the team\n\nana@example.org,ben@example.org  {key} laptop of ana\n\"eve@example.org\" namespaces=\"git,retune-event\" {key}\n"
    ));
    let found = found.unwrap();
    let emails: Vec<&str> = found.iter().map(Signer::email).collect();
    assert_eq!(
        emails,
        ["ana@example.org", "ben@example.org", "eve@example.org"]
    );
    for (line, word) in [
        (String::new(), "names no signer"),
        ("ana@example.org".to_owned(), "expected MAIL KEY-TYPE KEY"),
        (format!("*@example.org {key}"), "patterns are not taken"),
        (
            format!("ana@example.org namespaces=\"git\" {key}"),
            "is for namespaces \"git\"",
        ),
        (
            format!("ana@example.org valid-before=\"20300101\" {key}"),
            "does not hold here",
        ),
        (
            format!("ana@example.org cert-authority {key}"),
            "in the place of the key",
        ),
        (
            "ana@example.org ssh-ed25519 AAAA".to_owned(),
            "cannot be read",
        ),
        (
            format!("ana@example.org {RSA_1024}"),
            "RSA of less than 2048 bits",
        ),
    ] {
        let faults = read(&format!("{line}\n")).unwrap_err();
        let fault = faults.as_slice()[0].to_string();
        assert!(fault.contains(word), "{line}: {fault}");
        assert!(fault.contains("allowed_signers"), "{fault}");
    }
    let several = read("one\ntwo\n").unwrap_err();
    assert_eq!(several.as_slice().len(), 2);
    assert_eq!(several.as_slice()[1].line, Some(2));
}

/// Made by `ssh-keygen -t rsa -b 1024`.
const RSA_1024: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDlCx1QpTKtb/hCEVUeEYfMFMwe795nxIZ+ykT3/3DFFRWpFk46HSWB4qccjphNQuB8xpScDBSRZYrsIbz43oa+KhGJtBE6FIaRkIBXoFSzhLEtY5WrH3VvbznT2Ct5FnjYnUqQmnboo9IE79ai9OLN5CKGfh8NqglKh5G3H92AIw==";

#[test]
fn a_key_that_is_not_there_is_told_with_what_the_program_says() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent").display().to_string();
    let nobody = SigningKey::new(&absent, Some("/nowhere/ssh-keygen".to_owned()), dir.path());
    let error = nobody.sign(b"x").unwrap_err().to_string();
    assert!(error.contains(&absent), "{error}");
    // A program that says yes and signs nothing.
    let idle = SigningKey::new(&absent, Some("true".to_owned()), dir.path());
    let error = idle.sign(b"x").unwrap_err();
    assert!(
        matches!(error, super::SigningError::Malformed { .. }),
        "{error:?}"
    );
}
