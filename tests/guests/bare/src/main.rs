//! A command without any of the exports of an app.

fn main() {
    println!("I am not a function app");
}
