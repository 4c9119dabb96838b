/** The matrix product x · weightᵀ at 512 × 512 × 512 on one and two threads. */
import { cpuBackend } from "@infllm/backend-cpu";
import type { CpuBackend } from "@infllm/backend-cpu";
import { random } from "@infllm/tensor";
import { mustAgree } from "../check.ts";
import { measure } from "../measure.ts";
import { rate, ratio } from "../report.ts";
import type { Result } from "../report.ts";

const N = 512;

export async function linearResults(rounds: number): Promise<Result[]> {
  const [one, two] = [await cpuBackend({ threads: 1 }), await cpuBackend({ threads: 2 })];
  try {
    const tasks = { one: await product(one), two: await product(two) };
    // Long runs: a core that idled takes some 50 ms to come back to speed, which would count against two threads.
    const times = measure(tasks, { rounds, repeat: 100, warmUp: 1.5 });
    const work = (2 * N ** 3) / 1e9;
    return [
      rate(`linear f32, n = ${N}, 1 thread`, work, times.one, "GFLOP/s", 40),
      rate(`linear f32, n = ${N}, 2 threads`, work, times.two, "GFLOP/s"),
      ratio("linear f32, 2 threads over 1", times.one.median / times.two.median, 1.8),
    ];
  } finally {
    await one.close();
    await two.close();
  }
}

/** The product as a task, checked against float64 in some of its elements. */
async function product(backend: CpuBackend): Promise<() => void> {
  const numbers = random(1);
  const values = (): Float32Array => Float32Array.from({ length: N * N }, () => numbers.normal());
  const [a, b] = [values(), values()];
  const [x, out] = [backend.allocate("f32", [N, N]), backend.allocate("f32", [N, N])];
  const weight = backend.neural.allocateWeight(N, N, "f32");
  backend.write(x, a);
  weight.writeRows(0, new Uint8Array(b.buffer));
  const task = (): void => backend.neural.linear({ x, weight, out });
  task();
  const result = await backend.read(out);
  const picked = Array.from({ length: 1000 }, (_, i) => (i * 7919) % (N * N));
  const exact = picked.map((at) => {
    const [row, column] = [Math.floor(at / N) * N, (at % N) * N];
    let sum = 0;
    for (let k = 0; k < N; k++) sum += (a[row + k] ?? 0) * (b[column + k] ?? 0);
    return sum;
  });
  mustAgree("linear", picked.map((at) => result[at] ?? Number.NaN), exact, 1e-5);
  return task;
}
