//! The contract with guests as Rust types, made from `wit/`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "app",
    imports: {
        // Only these wait; all others answer at once.
        "durable:functions/orchestration.when-any": async | trappable,
        "durable:functions/orchestration.when-all": async | trappable,
        "durable:functions/client": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    require_store_data_send: true,
});
