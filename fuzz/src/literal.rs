//! Python literals, the text that headers are made of.

use npyd::npy::{Literal, LiteralError};

use super::assertions::assert_clear_about;

/// Checks literals.
///
/// # Panics
/// npyd accepts an input that it should reject, or rejects one with an unfit message.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let literal = Literal::parse(text);
    let of_python2 = Literal::parse_python2(text);
    if let Ok(literal) = &literal {
        // Python 2 reads what Python 3 accepts as an equal value. No literal is NaN.
        assert_eq!(Ok(literal), of_python2.as_ref());
    }
    for parsed in [literal, of_python2] {
        check_parsed(text, parsed);
    }
}

fn check_parsed(text: &str, parsed: Result<Literal, LiteralError>) {
    match parsed {
        Ok(literal) if is_finite(&literal) => {
            let printed = literal.to_string();
            assert!(!printed.chars().any(char::is_control), "{printed:?}");
            assert_eq!(Literal::parse(&printed), Ok(literal), "{printed}");
        }
        Ok(_) => {}
        Err(error) => assert_clear_about(&error.to_string(), text.as_bytes()),
    }
}

/// Whether Python's `repr` prints only literals: it prints `inf` for `1e999`.
fn is_finite(literal: &Literal) -> bool {
    match literal {
        Literal::Float(number) => number.is_finite(),
        Literal::Tuple(items) | Literal::List(items) => items.iter().all(is_finite),
        Literal::Dict(items) => items.iter().all(|(key, value)| is_finite(key) && is_finite(value)),
        _ => true,
    }
}
