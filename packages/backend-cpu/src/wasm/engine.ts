/** As much of the engine's WebAssembly as is used here, typed in one place: the package is compiled without the DOM's types. */

export interface WasmMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  /** @throws RangeError */
  grow(pages: number): number;
}

/** A compiled module; opaque, and can be posted to workers. */
export interface WasmModule {
  readonly [Symbol.toStringTag]?: string;
}

interface WebAssemblyApi {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
  readonly Instance: new (
    module: WasmModule,
    imports: { readonly env: { readonly memory: WasmMemory; readonly abort: () => never } },
  ) => { readonly exports: Readonly<Record<string, unknown>> };
  validate(bytes: Uint8Array): boolean;
  compile(bytes: Uint8Array): Promise<WasmModule>;
}

/** Looked up when used, so that an engine without it (or a test that hides it) is seen as such. */
export function webAssembly(): WebAssemblyApi | undefined {
  return (globalThis as unknown as { readonly WebAssembly?: WebAssemblyApi }).WebAssembly;
}

/** @throws Error where `supports` would have said no */
export function needWebAssembly(): WebAssemblyApi {
  const api = webAssembly();
  if (api === undefined) throw new Error("This engine has no WebAssembly.");
  return api;
}
