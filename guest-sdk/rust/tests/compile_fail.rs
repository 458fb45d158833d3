//! The mistakes authors make have to give messages that say what to do.

#[test]
fn common_mistakes_are_explained() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
