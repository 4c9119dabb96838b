/** The packed matrices that rows are being read from. */
import type { PackedShape } from "./packed-layout.ts";
import { packedRows } from "./packed-rows.ts";
import type { PackedMatrix } from "./packed-rows.ts";

interface OpenMatrix<Module> {
  readonly module: Module;
  readonly memory: Uint8Array;
  readonly matrix: Promise<PackedMatrix>;
  /** Reads of rows that have not ended. */
  readers: number;
}

/**
 * Reads each matrix once where its rows are asked for in order, though several reads of rows may be under way at once.
 * It is let go with its last rows, or with the first rows of another; memory for quants is used again for the next.
 */
export class OpenMatrices<Module extends { readonly shape: PackedShape }> {
  #current: OpenMatrix<Module> | undefined;
  readonly #spare: Uint8Array[] = [];

  /** @param largest bytes of the quants of the largest matrix, which `read` may put into `memory` */
  constructor(
    private readonly largest: number,
    private readonly read: (module: Module, memory: Uint8Array) => Promise<PackedMatrix>,
  ) {}

  /** Rows `[from, to)` of the module's matrix: see `packedRows`. */
  async rows(module: Module, from: number, to: number, into: Uint8Array | undefined): Promise<Uint8Array> {
    const open = this.#open(module);
    open.readers++;
    if (to >= module.shape.rows) this.#leave();
    try {
      return packedRows(await open.matrix, from, to, into);
    } catch (error) {
      // Not kept: it may be read at another time.
      if (this.#current === open) this.#leave();
      throw error;
    } finally {
      open.readers--;
      this.#reclaim(open);
    }
  }

  #open(module: Module): OpenMatrix<Module> {
    if (this.#current?.module === module) return this.#current;
    this.#leave();
    const memory = this.#spare.pop() ?? new Uint8Array(this.largest);
    this.#current = { module, memory, matrix: this.read(module, memory), readers: 0 };
    return this.#current;
  }

  #leave(): void {
    const open = this.#current;
    this.#current = undefined;
    if (open !== undefined) this.#reclaim(open);
  }

  #reclaim(open: OpenMatrix<Module>): void {
    if (open !== this.#current && open.readers === 0) this.#spare.push(open.memory);
  }
}
