//! The wasmtime engine: one for all guests.

use std::hash::{Hash, Hasher};

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::limits::{
    CORE_INSTANCES, FIBER_STACK, Limits, MEMORIES, MEMORY_RESERVATION, TABLE_ELEMENTS, TABLES, TICK, WASM_STACK,
};
use super::ticker::{Pulse, Ticker};

/// The engine and its ticker, which stops with it.
pub(super) struct Runtime {
    engine: Engine,
    ticker: Ticker,
}

impl Runtime {
    pub(super) fn new(limits: &Limits) -> wasmtime::Result<Self> {
        let engine = Engine::new(config().allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits))))?;
        let ticked = engine.weak();
        let ticker = Ticker::new(move || ticked.upgrade().map(|engine| engine.increment_epoch()).is_some())?;
        Ok(Self { engine, ticker })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What all that runs guests of this engine has to run by: without it nobody interrupts them.
    pub(super) fn pulse(&self) -> Pulse {
        self.ticker.pulse()
    }
}

/// An engine that compiles what the server's engine runs, without room for guests: their pool is no part of the code, and
/// a process that compiles has little address space.
pub(super) fn compiling_engine() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// Names everything that a compiled artifact depends on besides the component.
pub(super) fn fingerprint(engine: &Engine) -> String {
    // A different hasher in a later release costs a recompilation, nothing else.
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn config() -> Config {
    let mut config = Config::new();
    // The same code must compute the same on every machine and in every replay.
    config.cranelift_nan_canonicalization(true).relaxed_simd_deterministic(true);
    config.wasm_component_model(true).wasm_memory64(false);
    // Component-model async costs 20-40 % of each call, and nothing of ours uses it.
    config.concurrency_support(false);
    // Epochs hold guests to time, which is the machine's; fuel counts what they do, which every replay does again.
    config.epoch_interruption(true).consume_fuel(true);
    config.max_wasm_stack(WASM_STACK).async_stack_size(FIBER_STACK);
    config.memory_reservation(MEMORY_RESERVATION).memory_may_move(false);
    config
}

/// Slots for guests. Most guests need one memory and two tables; a bigger one takes several slots, and when slots
/// run out a run is tried again later.
fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let guests = limits.concurrent_guests;
    let memory = limits.orchestrator_memory.max(limits.activity_memory);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(guests)
        .total_stacks(guests)
        .total_memories(guests.saturating_add(MEMORIES))
        .total_tables(guests.saturating_mul(3).saturating_add(TABLES))
        .total_core_instances(guests.saturating_mul(8).saturating_add(CORE_INSTANCES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        // A whole number of wasm pages, or a memory of exactly the limit would not fit.
        .max_memory_size(memory.next_multiple_of(64 << 10))
        // Small guests are reset by memset, which costs less than a system call.
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(16 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Ticks of the epoch that make up `time`, at least one.
pub(super) fn ticks(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX).max(1)
}
