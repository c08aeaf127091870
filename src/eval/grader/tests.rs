use super::{Grader, Normalise, Rule, grade};
use crate::eval::Case;

fn equals(normalise: &[Normalise], target: &str, output: &str) -> bool {
    let grader = Grader::new(
        "m",
        Rule::Equals {
            normalise: normalise.to_vec(),
        },
    );
    let case = Case {
        label: target.to_owned(),
        ..Case::default()
    };
    grade(&[grader], &case, output).passed
}

#[test]
fn equal_is_byte_for_byte_but_for_what_is_taken_out() {
    assert!(equals(&[], "Refund", "Refund"));
    assert!(!equals(&[], "Refund", "refund"));
    assert!(!equals(&[], "Refund", "Refund\n"));
    assert!(equals(&[Normalise::Trim], "Refund", "\n Refund "));
    assert!(equals(&[Normalise::Casefold], "Straße", "STRAßE"));
    assert!(equals(&[Normalise::Nfc], "caf\u{e9}", "cafe\u{301}"));
    assert!(!equals(&[Normalise::Trim], "caf\u{e9}", "cafe\u{301}"));
}

#[test]
fn without_a_grader_nothing_is_right() {
    assert!(!grade(&[], &Case::default(), "").passed);
}
