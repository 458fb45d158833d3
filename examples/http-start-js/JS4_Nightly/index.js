module.exports = async function (context, timer) {
    const Input = timer.isPastDue ? "latecomer" : "night";
    context.bindings.starter = { FunctionName: "JS4_Orchestrator", InstanceId: "nightly", Input };
};
