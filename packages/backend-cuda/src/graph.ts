/** Ops captured from a stream, replayed with one launch. */
import type { Context } from "./context.ts";

export class Graph {
  #released = false;

  private constructor(
    private readonly context: Context,
    private readonly executable: number,
  ) {}

  /** Makes a captured graph ready to run; the captured form is not kept. */
  static instantiate(context: Context, captured: number): Graph {
    const { api } = context.driver;
    const out = new BigUint64Array(1);
    try {
      context.check(api.cuGraphInstantiateWithFlags(out, captured, 0), "making a recorded step ready to run");
    } finally {
      api.cuGraphDestroy(captured);
    }
    return new Graph(context, Number(out[0]));
  }

  launch(stream: number): void {
    this.context.check(this.context.driver.api.cuGraphLaunch(this.executable, stream), "running a recorded step");
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.context.driver.api.cuGraphExecDestroy(this.executable);
  }
}
