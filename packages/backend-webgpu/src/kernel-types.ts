/** What scripts/build-kernels.mjs makes of the files in kernels/ and kernels/common/. */
export interface Binding {
  readonly index: number;
  readonly kind: "uniform" | "storage" | "read-only-storage";
}

export interface Source {
  /** Pieces of kernels/common/ that it needs. */
  readonly uses: readonly string[];
  /** Families of pieces, of which a variant names one each: `cache` stands for `cache-f32`, `cache-f16`, … */
  readonly families: readonly string[];
  /** Extensions of WGSL that it is written with, by the names of `extensions` in variants.ts. */
  readonly needs: readonly string[];
  readonly code: string;
  readonly bindings: readonly Binding[];
}
