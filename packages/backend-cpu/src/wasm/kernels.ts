/** Chooses, compiles and instantiates the kernels' WASM. */
import type { OpNumber } from "../abi.ts";
import { needWebAssembly, webAssembly } from "./engine.ts";
import type { WasmMemory, WasmModule } from "./engine.ts";

export type Instructions = "relaxed" | "simd";

/** Runs one task; every argument is a 32-bit number. */
export type KernelRun = (op: OpNumber, args: number, task: number, scratch: number) => void;

/** A function that only does `i32x4.splat(0)`, and one that only does `f32x4.relaxed_madd`: valid where those are. */
const header = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0];
const probes: Readonly<Record<Instructions, readonly number[]>> = {
  simd: [...header, 10, 8, 1, 6, 0, 65, 0, 253, 17, 11],
  relaxed: [...header, 10, 19, 1, 17, 0, 65, 0, 253, 17, 65, 0, 253, 17, 65, 0, 253, 17, 253, 133, 2, 11],
};

export function supports(instructions: Instructions): boolean {
  return webAssembly()?.validate(Uint8Array.from(probes[instructions])) ?? false;
}

const variants = {
  "simd-shared": () => import("../generated/simd-shared.ts"),
  "simd-unshared": () => import("../generated/simd-unshared.ts"),
  "relaxed-shared": () => import("../generated/relaxed-shared.ts"),
  "relaxed-unshared": () => import("../generated/relaxed-unshared.ts"),
} as const;

export async function compileKernels(instructions: Instructions, shared: boolean): Promise<WasmModule> {
  const { wasm } = await variants[`${instructions}-${shared ? "shared" : "unshared"}`]();
  return needWebAssembly().compile(Uint8Array.from(atob(wasm), (character) => character.charCodeAt(0)));
}

export function instantiateKernels(module: WasmModule, memory: WasmMemory): KernelRun {
  const abort = (): never => {
    throw new Error("A kernel aborted.");
  };
  const { Instance } = needWebAssembly();
  const { exports } = new Instance(module, { env: { memory, abort } });
  return exports["run"] as KernelRun;
}
