/**
 * Dense products by cuBLASLt where it is installed: the CUDA toolkit, the system, or a Python wheel brings it. Every shape
 * gets one algorithm, chosen once, so that equal calls give equal results and can be recorded.
 */
import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { InfllmError, NotAvailableError } from "@infllm/tensor";
import type { Driver, NativeLibrary } from "./driver.ts";
import type { Machine } from "./machine.ts";
import type { Allocation } from "./memory-pool.ts";

type Handle = number;
type Out64 = BigUint64Array;

interface LtApi {
  cublasLtCreate(handle: Out64): number;
  cublasLtDestroy(handle: Handle): number;
  cublasLtMatmulDescCreate(desc: Out64, compute: number, scale: number): number;
  cublasLtMatmulDescDestroy(desc: Handle): number;
  cublasLtMatmulDescSetAttribute(desc: Handle, attribute: number, value: Int32Array | BigUint64Array, bytes: number): number;
  cublasLtMatrixLayoutCreate(layout: Out64, type: number, rows: number, columns: number, stride: number): number;
  cublasLtMatrixLayoutDestroy(layout: Handle): number;
  cublasLtMatmulPreferenceCreate(preference: Out64): number;
  cublasLtMatmulPreferenceDestroy(preference: Handle): number;
  cublasLtMatmulPreferenceSetAttribute(preference: Handle, attribute: number, value: BigUint64Array | Uint32Array, bytes: number): number;
  cublasLtMatmulAlgoGetHeuristic(
    handle: Handle, desc: Handle, a: Handle, b: Handle, c: Handle, d: Handle, preference: Handle, wanted: number,
    results: Uint8Array, found: Int32Array,
  ): number;
  cublasLtMatmul(
    handle: Handle, desc: Handle, alpha: Float32Array, a: number, aLayout: Handle, b: number, bLayout: Handle,
    beta: Float32Array, c: number, cLayout: Handle, d: number, dLayout: Handle, algorithm: Uint8Array,
    workspace: number, workspaceBytes: number, stream: number,
  ): number;
}

const prototypes: { readonly [Name in keyof LtApi]: string } = {
  cublasLtCreate: "void *handle",
  cublasLtDestroy: "uint64_t handle",
  cublasLtMatmulDescCreate: "void *desc, int compute, int scale",
  cublasLtMatmulDescDestroy: "uint64_t desc",
  cublasLtMatmulDescSetAttribute: "uint64_t desc, int attribute, const void *value, uint64_t bytes",
  cublasLtMatrixLayoutCreate: "void *layout, int type, uint64_t rows, uint64_t columns, int64_t stride",
  cublasLtMatrixLayoutDestroy: "uint64_t layout",
  cublasLtMatmulPreferenceCreate: "void *preference",
  cublasLtMatmulPreferenceDestroy: "uint64_t preference",
  cublasLtMatmulPreferenceSetAttribute: "uint64_t preference, int attribute, const void *value, uint64_t bytes",
  cublasLtMatmulAlgoGetHeuristic:
    "uint64_t handle, uint64_t desc, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t preference, int wanted, " +
    "void *results, void *found",
  cublasLtMatmul:
    "uint64_t handle, uint64_t desc, const void *alpha, uint64_t a, uint64_t aLayout, uint64_t b, uint64_t bLayout, " +
    "const void *beta, uint64_t c, uint64_t cLayout, uint64_t d, uint64_t dLayout, const void *algorithm, " +
    "uint64_t workspace, uint64_t workspaceBytes, uint64_t stream",
};

// Numbers of the library's enumerations, and of cudaDataType.
const COMPUTE_F32 = 68;
const dataType = { f32: 0, f16: 2, bf16: 14 } as const;
const TRANSPOSE_A = 3;
const TRANSPOSED = 1;
const EPILOGUE = 7;
const EPILOGUE_BIAS = 4;
const BIAS_POINTER = 8;
const BIAS_TYPE = 26;
const MAX_WORKSPACE = 1;
/** Alignment of the four matrices, which the library takes for 256 bytes; those of views have 16. */
const MIN_ALIGNMENTS = [5, 6, 7, 8] as const;
const ALIGNMENT = 16;
/** `cublasLtMatmulHeuristicResult_t`: the algorithm (64 bytes), workspace size, status, waves, reserved. */
const RESULT_BYTES = 96;
const ALGORITHM_BYTES = 64;

const WORKSPACE_BYTES = 32 * 1024 * 1024;
/** Shapes remembered; prefill has few, so this is never reached by a model. */
const MOST_PLANS = 1024;

/** out `[rows, outs]` = x `[rows, columns]` · weightᵀ + bias, weight `[outs, columns]`; strides in elements. */
export interface Product {
  readonly rows: number;
  readonly columns: number;
  readonly outs: number;
  readonly type: "bf16" | "f16";
  readonly outType: "bf16" | "f16" | "f32";
  readonly x: { readonly address: number; readonly rowStride: number };
  readonly weight: { readonly address: number; readonly rowStride: number };
  readonly out: { readonly address: number; readonly rowStride: number };
  /** `[outs]`, which for the library must be of `outType`. */
  readonly bias: { readonly address: number } | undefined;
}

interface Plan {
  readonly desc: Handle;
  /** weight, x, out */
  readonly layouts: readonly [Handle, Handle, Handle];
  readonly algorithm: Uint8Array;
}

const opened = new WeakMap<Machine, CublasLt | undefined>();

/** The library bound to this machine, looked for at the first call; undefined where there is none. */
export function cublasLt(machine: Machine): CublasLt | undefined {
  if (!opened.has(machine)) opened.set(machine, CublasLt.open(machine));
  return opened.get(machine);
}

/** Bytes that the library works in: none before it was used. */
export function cublasLtBytes(machine: Machine): number {
  return opened.get(machine) === undefined ? 0 : WORKSPACE_BYTES;
}

/** Gives back what `cublasLt` took, before the machine's memory goes. */
export function closeCublasLt(machine: Machine): void {
  opened.get(machine)?.close();
  opened.delete(machine);
}

export class CublasLt {
  readonly #plans = new Map<string, Plan | undefined>();
  readonly #one = Float32Array.of(1);
  readonly #zero = Float32Array.of(0);

  private constructor(
    private readonly machine: Machine,
    private readonly api: LtApi,
    private readonly handle: Handle,
    private readonly workspace: Allocation,
  ) {}

  static open(machine: Machine): CublasLt | undefined {
    const library = findCublasLt(machine.driver)?.library;
    if (library === undefined) return undefined;
    const functions = Object.entries(prototypes).map(([name, parameters]) => [name, library.declare(`int ${name}(${parameters})`)]);
    const api = Object.fromEntries(functions) as LtApi;
    const workspace = machine.pool.allocate("cuBLASLt's workspace", WORKSPACE_BYTES);
    const out = new BigUint64Array(1);
    if (api.cublasLtCreate(out) !== 0) {
      workspace.free();
      return undefined;
    }
    return new CublasLt(machine, api, Number(out[0]), workspace);
  }

  /** Has the library an algorithm for a product of this shape? Addresses do not matter. */
  supports(product: Product): boolean {
    return this.#planOf(product) !== undefined;
  }

  /** Enqueues a product that is supported. */
  multiply(product: Product): void {
    const plan = this.#planOf(product);
    if (plan === undefined) throw new RangeError("cuBLASLt has no algorithm for this product.");
    const { x, weight, out, bias } = product;
    if (bias !== undefined) this.#setBias(plan.desc, bias.address);
    const [weightLayout, xLayout, outLayout] = plan.layouts;
    const status = this.api.cublasLtMatmul(
      this.handle, plan.desc, this.#one, weight.address, weightLayout, x.address, xLayout, this.#zero, out.address, outLayout,
      out.address, outLayout, plan.algorithm, this.workspace.address, WORKSPACE_BYTES, this.machine.stream.handle,
    );
    check(status, `a product [${product.rows}, ${product.columns}] x [${product.columns}, ${product.outs}] of ${product.type}`);
    this.machine.interrupted();
  }

  close(): void {
    this.#forget();
    this.api.cublasLtDestroy(this.handle);
    this.workspace.free();
  }

  #planOf(product: Product): Plan | undefined {
    const { rows, columns, outs, type, outType, x, weight, out, bias } = product;
    const key = [rows, columns, outs, type, outType, x.rowStride, weight.rowStride, out.rowStride, bias !== undefined].join();
    if (!this.#plans.has(key)) {
      if (this.#plans.size >= MOST_PLANS) this.#forget();
      this.#plans.set(key, this.#makePlan(product));
    }
    return this.#plans.get(key);
  }

  /** Row-major matrices are the library's column-major ones transposed: outᵀ = (weightᵀ)ᵀ · xᵀ. */
  #makePlan({ rows, columns, outs, type, outType, x, weight, out, bias }: Product): Plan | undefined {
    const { api } = this;
    const desc = made((to) => api.cublasLtMatmulDescCreate(to, COMPUTE_F32, dataType.f32));
    this.#describe(desc, TRANSPOSE_A, TRANSPOSED);
    if (bias !== undefined) {
      this.#describe(desc, EPILOGUE, EPILOGUE_BIAS);
      this.#describe(desc, BIAS_TYPE, dataType[outType]);
      this.#setBias(desc, this.workspace.address); // an address as good as the one to come
    }
    const layouts: Plan["layouts"] = [
      made((to) => api.cublasLtMatrixLayoutCreate(to, dataType[type], columns, outs, weight.rowStride)),
      made((to) => api.cublasLtMatrixLayoutCreate(to, dataType[type], columns, rows, x.rowStride)),
      made((to) => api.cublasLtMatrixLayoutCreate(to, dataType[outType], outs, rows, out.rowStride)),
    ];
    const preference = made((to) => api.cublasLtMatmulPreferenceCreate(to));
    api.cublasLtMatmulPreferenceSetAttribute(preference, MAX_WORKSPACE, BigUint64Array.of(BigInt(WORKSPACE_BYTES)), 8);
    for (const which of MIN_ALIGNMENTS) {
      api.cublasLtMatmulPreferenceSetAttribute(preference, which, Uint32Array.of(ALIGNMENT), 4);
    }
    const result = new Uint8Array(RESULT_BYTES);
    const found = new Int32Array(1);
    const [a, b, d] = layouts;
    const status = api.cublasLtMatmulAlgoGetHeuristic(this.handle, desc, a, b, d, d, preference, 1, result, found);
    api.cublasLtMatmulPreferenceDestroy(preference);
    const plan = { desc, layouts, algorithm: result.slice(0, ALGORITHM_BYTES) };
    if (status === 0 && found[0] === 1) return plan;
    this.#release(plan);
    return undefined;
  }

  #describe(desc: Handle, attribute: number, value: number): void {
    check(this.api.cublasLtMatmulDescSetAttribute(desc, attribute, Int32Array.of(value), 4), "setting up a product");
  }

  #setBias(desc: Handle, address: number): void {
    check(this.api.cublasLtMatmulDescSetAttribute(desc, BIAS_POINTER, BigUint64Array.of(BigInt(address)), 8), "setting up a bias");
  }

  #release(plan: Plan | undefined): void {
    if (plan === undefined) return;
    for (const layout of plan.layouts) this.api.cublasLtMatrixLayoutDestroy(layout);
    this.api.cublasLtMatmulDescDestroy(plan.desc);
  }

  #forget(): void {
    for (const plan of this.#plans.values()) this.#release(plan);
    this.#plans.clear();
  }
}

function made(create: (to: Out64) => number): Handle {
  const out = new BigUint64Array(1);
  check(create(out), "setting up a product");
  return Number(out[0]);
}

function check(status: number, doing: string): void {
  if (status !== 0) throw new InfllmError(`cuBLASLt failed with status ${status} in ${doing}. Set INFLLM_CUBLASLT=none to go without it.`);
}

/** A library that loads, and the name or path it was loaded by. */
export interface FoundLibrary {
  readonly library: NativeLibrary;
  readonly path: string;
}

/** @throws NotAvailableError when INFLLM_CUBLASLT names a library that does not load */
export function findCublasLt(driver: Driver): FoundLibrary | undefined {
  const named = process.env["INFLLM_CUBLASLT"];
  if (named === "none") return undefined;
  if (named !== undefined && named !== "") {
    try {
      return { library: driver.open(named), path: named };
    } catch (cause) {
      throw new NotAvailableError(
        `INFLLM_CUBLASLT is ${named}, which does not load. Give the path of libcublasLt.so.13 (or .12), or "none" for our own kernels.`,
        { cause },
      );
    }
  }
  for (const path of candidates()) {
    try {
      return { library: driver.open(path), path };
    } catch {
      // Not this one; without any of them our own kernels do the products.
    }
  }
  return undefined;
}

const fileNames =
  process.platform === "win32" ? ["cublasLt64_13.dll", "cublasLt64_12.dll"] : ["libcublasLt.so.13", "libcublasLt.so.12"];

/** By name, as the system's loader finds it, then existing files of toolkits and of Python's wheels. */
function candidates(): string[] {
  const folders = [...toolkitFolders(), ...wheelFolders()];
  return [...fileNames, ...folders.flatMap((folder) => fileNames.map((name) => join(folder, name))).filter((path) => existsSync(path))];
}

function toolkitFolders(): string[] {
  const homes = [process.env["CUDA_HOME"], process.env["CUDA_PATH"]].filter((home) => home !== undefined && home !== "");
  const local = children("/usr/local").filter((name) => name.startsWith("cuda")).map((name) => join("/usr/local", name));
  return [...homes, ...local].flatMap((home) => ["lib64", join("targets", "x86_64-linux", "lib"), "lib", "bin", join("bin", "x64")].map((part) => join(home ?? "", part)));
}

/** `nvidia/cu13/lib` and `nvidia/cublas/lib` under the packages of every Python that PATH and the environment lead to. */
function wheelFolders(): string[] {
  const prefixes = [
    process.env["VIRTUAL_ENV"],
    process.env["CONDA_PREFIX"],
    ...(process.env["PATH"] ?? "").split(delimiter).map((folder) => dirname(folder)),
    join(homedir(), ".local"),
  ];
  const libraries = new Set(prefixes.flatMap((prefix) => (prefix ? [join(prefix, "lib")] : [])));
  return [...libraries].flatMap((library) =>
    children(library)
      .filter((name) => name.startsWith("python3"))
      .flatMap((python) => ["site-packages", "dist-packages"].map((packages) => join(library, python, packages, "nvidia")))
      .flatMap((nvidia) => [join(nvidia, "cu13", "lib"), join(nvidia, "cublas", "lib")]),
  );
}

function children(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
