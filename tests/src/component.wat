;; What an app in the text format looks like: its surface, around a core module and what stands behind it. A component
;; may import a part of an interface; the module inside may import a part of that.
(component
    (import "wasi:io/error@0.2.6" (instance $io-error (export "error" (type (sub resource)))))
    (alias export $io-error "error" (type $io-error-type))
    (import "wasi:io/poll@0.2.6" (instance $poll
        (export "pollable" (type $pollable (sub resource)))
        (export "[method]pollable.ready" (func (param "self" (borrow $pollable)) (result bool)))
        (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:io/streams@0.2.6" (instance $streams
        (alias outer 1 $io-error-type (type $error-type))
        (export "error" (type $error (eq $error-type)))
        (export "input-stream" (type $input (sub resource)))
        (export "output-stream" (type $output (sub resource)))
        (type $stream-error-type (variant (case "last-operation-failed" (own $error)) (case "closed")))
        (export "stream-error" (type $stream-error (eq $stream-error-type)))
        (export "[method]input-stream.blocking-read" (func
            (param "self" (borrow $input)) (param "len" u64) (result (result (list u8) (error $stream-error)))))
        (export "[method]output-stream.blocking-write-and-flush" (func
            (param "self" (borrow $output)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
    (alias export $streams "input-stream" (type $input-stream))
    (alias export $streams "output-stream" (type $output-stream))
    (import "wasi:clocks/monotonic-clock@0.2.6" (instance $clock
        (alias outer 1 $pollable (type $pollable-type))
        (export "pollable" (type $pollable (eq $pollable-type)))
        (export "now" (func (result u64)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
    (import "wasi:cli/stdin@0.2.6" (instance $stdin
        (alias outer 1 $input-stream (type $input-type))
        (export "input-stream" (type $input (eq $input-type)))
        (export "get-stdin" (func (result (own $input))))))
    (import "wasi:cli/stdout@0.2.6" (instance $stdout
        (alias outer 1 $output-stream (type $output-type))
        (export "output-stream" (type $output (eq $output-type)))
        (export "get-stdout" (func (result (own $output))))))
    (import "wasi:http/types@0.2.6" (instance $http
        (export "fields" (type $fields (sub resource)))
        (export "[constructor]fields" (func (result (own $fields))))))
    (import "wasi:random/random@0.2.6" (instance $random
        (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
    (import "durable:functions/types@0.1.0" (instance $types
        (type $cause-type (record
            (field "error-type" string) (field "message" string) (field "stack-trace" (option string))))
        (export "cause" (type $cause (eq $cause-type)))
        (type $failure-type (record
            (field "error-type" string) (field "message" string) (field "stack-trace" (option string))
            (field "non-retriable" bool) (field "causes" (list $cause)) (field "properties" (option string))))
        (export "failure" (type $failure (eq $failure-type)))))
    (alias export $types "failure" (type $failure))
    (import "durable:functions/orchestration@0.1.0" (instance $orchestration
        (export "create-timer" (func (param "fire-at" string) (result u32)))
        (export "when-any" (func (param "tasks" (list u32)) (result u32)))
        (export "new-guid" (func (result string)))
        (export "send-event" (func
            (param "instance-id" string) (param "name" string) (param "data" (option string))))))

    (core module $main
        {module}
    )

    ;; What takes memory needs an instance that has one, which needs what it imports: a table is between them.
    (core module $between
        (table (export "table") 7 7 funcref)
        (func (export "create-timer") (param i32 i32) (result i32)
            (call_indirect (param i32 i32) (result i32) (local.get 0) (local.get 1) (i32.const 0)))
        (func (export "when-any") (param i32 i32) (result i32)
            (call_indirect (param i32 i32) (result i32) (local.get 0) (local.get 1) (i32.const 1)))
        (func (export "new-guid") (param i32) (call_indirect (param i32) (local.get 0) (i32.const 2)))
        (func (export "send-event") (param i32 i32 i32 i32 i32 i32 i32)
            (call_indirect (param i32 i32 i32 i32 i32 i32 i32) (local.get 0) (local.get 1) (local.get 2) (local.get 3)
                (local.get 4) (local.get 5) (local.get 6) (i32.const 3)))
        (func (export "read") (param i32 i64 i32)
            (call_indirect (param i32 i64 i32) (local.get 0) (local.get 1) (local.get 2) (i32.const 4)))
        (func (export "write") (param i32 i32 i32 i32)
            (call_indirect (param i32 i32 i32 i32) (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 5)))
        (func (export "random") (param i64 i32)
            (call_indirect (param i64 i32) (local.get 0) (local.get 1) (i32.const 6))))
    (core module $fill
        (import "" "table" (table 7 7 funcref))
        (import "" "create-timer" (func $create-timer (param i32 i32) (result i32)))
        (import "" "when-any" (func $when-any (param i32 i32) (result i32)))
        (import "" "new-guid" (func $new-guid (param i32)))
        (import "" "send-event" (func $send-event (param i32 i32 i32 i32 i32 i32 i32)))
        (import "" "read" (func $read (param i32 i64 i32)))
        (import "" "write" (func $write (param i32 i32 i32 i32)))
        (import "" "random" (func $random (param i64 i32)))
        (elem (i32.const 0) func $create-timer $when-any $new-guid $send-event $read $write $random))

    (core func $ready (canon lower (func $poll "[method]pollable.ready")))
    (core func $block (canon lower (func $poll "[method]pollable.block")))
    (core func $drop-pollable (canon resource.drop $pollable))
    (core func $now (canon lower (func $clock "now")))
    (core func $sleep (canon lower (func $clock "subscribe-duration")))
    (core func $get-stdin (canon lower (func $stdin "get-stdin")))
    (core func $get-stdout (canon lower (func $stdout "get-stdout")))
    (core func $new-fields (canon lower (func $http "[constructor]fields")))

    (core instance $held (instantiate $between))
    (core instance $of-orchestration
        (export "create-timer" (func $held "create-timer"))
        (export "when-any" (func $held "when-any"))
        (export "new-guid" (func $held "new-guid"))
        (export "send-event" (func $held "send-event")))
    (core instance $of-clock (export "now" (func $now)) (export "subscribe-duration" (func $sleep)))
    (core instance $of-poll
        (export "[method]pollable.ready" (func $ready))
        (export "[method]pollable.block" (func $block))
        (export "[resource-drop]pollable" (func $drop-pollable)))
    (core instance $of-stdin (export "get-stdin" (func $get-stdin)))
    (core instance $of-stdout (export "get-stdout" (func $get-stdout)))
    (core instance $of-streams
        (export "[method]input-stream.blocking-read" (func $held "read"))
        (export "[method]output-stream.blocking-write-and-flush" (func $held "write")))
    (core instance $of-http (export "[constructor]fields" (func $new-fields)))
    (core instance $of-random (export "get-random-bytes" (func $held "random")))
    (core instance $app (instantiate $main
        (with "durable:functions/orchestration@0.1.0" (instance $of-orchestration))
        (with "wasi:clocks/monotonic-clock@0.2.6" (instance $of-clock))
        (with "wasi:io/poll@0.2.6" (instance $of-poll))
        (with "wasi:cli/stdin@0.2.6" (instance $of-stdin))
        (with "wasi:cli/stdout@0.2.6" (instance $of-stdout))
        (with "wasi:io/streams@0.2.6" (instance $of-streams))
        (with "wasi:http/types@0.2.6" (instance $of-http))
        (with "wasi:random/random@0.2.6" (instance $of-random))))
    (alias core export $app "memory" (core memory $memory))
    (alias core export $app "cabi_realloc" (core func $realloc))
    (core func $create-timer (canon lower (func $orchestration "create-timer") (memory $memory)))
    (core func $when-any (canon lower (func $orchestration "when-any") (memory $memory)))
    (core func $new-guid (canon lower (func $orchestration "new-guid") (memory $memory) (realloc $realloc)))
    (core func $send-event (canon lower (func $orchestration "send-event") (memory $memory)))
    (core func $read (canon lower
        (func $streams "[method]input-stream.blocking-read") (memory $memory) (realloc $realloc)))
    (core func $write (canon lower
        (func $streams "[method]output-stream.blocking-write-and-flush") (memory $memory) (realloc $realloc)))
    (core func $random-bytes (canon lower (func $random "get-random-bytes") (memory $memory) (realloc $realloc)))
    (core instance $filling
        (export "table" (table $held "table"))
        (export "create-timer" (func $create-timer))
        (export "when-any" (func $when-any))
        (export "new-guid" (func $new-guid))
        (export "send-event" (func $send-event))
        (export "read" (func $read))
        (export "write" (func $write))
        (export "random" (func $random-bytes)))
    (core instance (instantiate $fill (with "" (instance $filling))))

    (type $kind (enum "orchestrator" "activity" "http" "manual" "timer"))
    (type $function (record (field "name" string) (field "kind" $kind) (field "config" (option string))))
    (type $described (record
        (field "sdk" string) (field "version" (option string)) (field "functions" (list $function))))
    (func $describe (result (result $described (error string)))
        (canon lift (core func $app "durable:functions/describe@0.1.0#describe") (memory $memory) (realloc $realloc)))
    ;; The types of an instance that is exported have names.
    (component $describing
        (type $kind-type (enum "orchestrator" "activity" "http" "manual" "timer"))
        (import "kind" (type $kind (eq $kind-type)))
        (type $function-type (record (field "name" string) (field "kind" $kind) (field "config" (option string))))
        (import "function" (type $function (eq $function-type)))
        (type $app-type (record
            (field "sdk" string) (field "version" (option string)) (field "functions" (list $function))))
        (import "app" (type $app (eq $app-type)))
        (import "describe-it" (func $describe (result (result $app (error string)))))
        (export $kind-named "function-kind" (type $kind-type))
        (type $function-named-type (record
            (field "name" string) (field "kind" $kind-named) (field "config" (option string))))
        (export $function-named "function" (type $function-named-type))
        (type $app-named-type (record
            (field "sdk" string) (field "version" (option string)) (field "functions" (list $function-named))))
        (export $app-named "described" (type $app-named-type))
        (export "describe" (func $describe) (func (result (result $app-named (error string))))))
    (instance $describing (instantiate $describing
        (with "kind" (type $kind)) (with "function" (type $function)) (with "app" (type $described))
        (with "describe-it" (func $describe))))
    (export "durable:functions/describe@0.1.0" (instance $describing))

    (type $run (func
        (param "name" string) (param "input" (option string)) (result (result (option string) (error $failure)))))
    (func $orchestrate (type $run) (canon lift
        (core func $app "durable:functions/orchestrator@0.1.0#run") (memory $memory) (realloc $realloc)))
    (func $act (type $run) (canon lift
        (core func $app "durable:functions/activity@0.1.0#run") (memory $memory) (realloc $realloc)))
    (instance $orchestrator (export "run" (func $orchestrate)))
    (instance $activity (export "run" (func $act)))
    (export "durable:functions/orchestrator@0.1.0" (instance $orchestrator))
    (export "durable:functions/activity@0.1.0" (instance $activity))
    {behind}
)
