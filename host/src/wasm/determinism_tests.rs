//! What engines may compute differently computes alike here, on every machine. Beside each guest that would show a
//! difference stands what this machine answers without the settings.

use wasmtime::{Config, Engine, Instance, Module, Store};

use super::engine::compiling_engine;

/// The results of the exported functions of a module, on this engine.
fn results(engine: &Engine, module: &str, functions: &[&str]) -> Vec<i64> {
    let module = Module::new(engine, wat::parse_str(module).unwrap()).unwrap();
    let mut store = Store::new(engine, ());
    store.set_epoch_deadline(1_000);
    if store.get_fuel().is_ok() {
        store.set_fuel(1_000_000).unwrap();
    }
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let result = |name: &&str| {
        let function = instance.get_typed_func::<(), i64>(&mut store, name).unwrap();
        function.call(&mut store, ()).unwrap()
    };
    functions.iter().map(result).collect()
}

/// Each function gives the bits of a NaN that came about in another way. The operands are in memory: what is constant is
/// folded while compiling.
const NANS: &str = r#"(module
    (memory 1)
    (data (i32.const 0) "\01\00\00\00\00\00\f8\7f")
    (data (i32.const 8) "\00\00\00\00\00\00\00\00")
    (data (i32.const 16) "\07\00\c0\7f")
    (func $a (result f64) (f64.load (i32.const 0)))
    (func $zero (result f64) (f64.load (i32.const 8)))
    (func (export "add") (result i64) (i64.reinterpret_f64 (f64.add (call $a) (call $zero))))
    (func (export "divide") (result i64) (i64.reinterpret_f64 (f64.div (call $zero) (call $zero))))
    (func (export "root") (result i64) (i64.reinterpret_f64 (f64.sqrt (f64.sub (call $zero) (f64.const 1)))))
    (func (export "demote") (result i64)
        (i64.extend_i32_u (i32.reinterpret_f32 (f32.demote_f64 (f64.load (i32.const 0))))))
    (func (export "promote") (result i64) (i64.reinterpret_f64 (f64.promote_f32 (f32.load (i32.const 16)))))
    (func (export "lanes") (result i64)
        (i64x2.extract_lane 0 (f64x2.mul (v128.load (i32.const 0)) (f64x2.splat (f64.const 3))))))"#;

const CANONICAL: i64 = 0x7ff8_0000_0000_0000;

#[test]
fn a_nan_has_the_same_bits_wherever_it_comes_from() {
    let functions = ["add", "divide", "root", "demote", "promote", "lanes"];
    let expected = [CANONICAL, CANONICAL, CANONICAL, 0x7fc0_0000, CANONICAL, CANONICAL];
    assert_eq!(results(&compiling_engine().unwrap(), NANS, &functions), expected);
    if cfg!(target_arch = "x86_64") {
        let plain = results(&Engine::new(&Config::new()).unwrap(), NANS, &functions);
        assert_ne!(plain, expected, "these guests would not show a difference");
    }
}

/// Relaxed instructions with operands for which the standard allows several results.
const RELAXED: &str = r#"(module
    (memory 1)
    (data (i32.const 0) "\10\10\10\10\10\10\10\10\10\10\10\10\10\10\10\10")
    (data (i32.const 16) "\00\00\c0\7f\00\00\c0\7f\00\00\80\7f\00\00\80\7f")
    (data (i32.const 32) "\00\80\00\80\00\80\00\80\00\80\00\80\00\80\00\80")
    (data (i32.const 48) "\05\05\05\05\05\05\05\05\05\05\05\05\05\05\05\05")
    (func (export "swizzle") (result i64)
        (i64x2.extract_lane 0 (i8x16.relaxed_swizzle (v128.load (i32.const 48)) (v128.load (i32.const 0)))))
    (func (export "truncate") (result i64)
        (i64x2.extract_lane 0 (i32x4.relaxed_trunc_f32x4_s (v128.load (i32.const 16)))))
    (func (export "multiply") (result i64)
        (i64x2.extract_lane 0 (i16x8.relaxed_q15mulr_s (v128.load (i32.const 32)) (v128.load (i32.const 32))))))"#;

#[test]
fn relaxed_instructions_have_one_result() {
    let functions = ["swizzle", "truncate", "multiply"];
    let expected = [0, 0, 0x7fff_7fff_7fff_7fff];
    assert_eq!(results(&compiling_engine().unwrap(), RELAXED, &functions), expected);
    if cfg!(target_arch = "x86_64") {
        let plain = results(&Engine::new(&Config::new()).unwrap(), RELAXED, &functions);
        assert_ne!(plain, expected, "these guests would not show a difference");
    }
}

#[test]
fn what_would_make_replays_differ_is_not_there() {
    let engine = compiling_engine().unwrap();
    for (module, words) in [
        ("(module (memory 1 2 shared))", "threads"),
        ("(module (memory 1) (func (result i32) (i32.atomic.load (i32.const 0))))", "threads"),
        ("(module (memory i64 1))", "memory64"),
    ] {
        let error = Module::new(&engine, wat::parse_str(module).unwrap()).unwrap_err();
        let said = format!("{error:?}");
        assert!(said.contains(words), "{module}: {said}");
    }
}
