/**
 * The program of a worker thread, as text: it must run from a string, because bundlers cannot be relied on to ship a
 * second file. `${…}` are the numbers of `abi.ts`.
 *
 * A worker takes a task by moving `next` forward with compare-and-exchange while it is below `end`. Both only grow
 * (modulo 2^32) and the arguments are written before `end` moves, so a late worker can neither take a task twice nor
 * see half-written arguments.
 */
import { ARGUMENTS, CONTROL, CONTROL_WORDS, control } from "../abi.ts";

/** Looks for new work this often before sleeping: some 0.4 ms in Node 20, longer than what a decode step does on one thread. */
const SPINS = 60000;

export const workerSource = `
function start({ module, memory, index }) {
  const c = new Int32Array(memory.buffer, ${CONTROL}, ${CONTROL_WORDS});
  const { run } = new WebAssembly.Instance(module, { env: { memory, abort() { throw new Error("abort"); } } }).exports;
  for (;;) {
    const next = Atomics.load(c, ${control.next});
    const end = Atomics.load(c, ${control.end});
    if (next === end) {
      let left = ${SPINS};
      while (left > 0 && Atomics.load(c, ${control.end}) === end) left--;
      if (left === 0) Atomics.wait(c, ${control.end}, end);
      continue;
    }
    if (Atomics.compareExchange(c, ${control.next}, next, (next + 1) | 0) !== next) continue;
    try {
      const scratch = (c[${control.scratch}] >>> 0) + index * c[${control.scratchBytes}];
      run(c[${control.op}], ${ARGUMENTS}, (next - c[${control.base}]) | 0, scratch);
    } catch {
      Atomics.store(c, ${control.failed}, 1);
    }
    if (((Atomics.add(c, ${control.done}, 1) + 1) | 0) === Atomics.load(c, ${control.end})) Atomics.notify(c, ${control.done});
  }
}
if (typeof process === "object" && process.versions && process.versions.node) {
  const { parentPort, workerData } = require("node:worker_threads");
  parentPort.postMessage("started");
  start(workerData);
} else {
  onmessage = ({ data }) => {
    postMessage("started");
    start(data);
  };
}
`;
