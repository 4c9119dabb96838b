/** The page's side of the worker that runs the model. */
import type { CallName, Calls, Failure, FromWorker, ToWorker } from "./protocol.ts";

/** What went wrong in the worker, with the name and message that it had there. */
export class EngineError extends Error {
  constructor({ name, message }: Failure) {
    super(message);
    this.name = name;
  }
}

export interface CallOptions<Name extends CallName> {
  readonly onEvent?: (event: Calls[Name]["event"]) => void;
  readonly signal?: AbortSignal;
}

interface Pending {
  onEvent(event: unknown): void;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export class Engine {
  #worker: Worker | undefined;
  readonly #pending = new Map<number, Pending>();
  #next = 0;

  /** @throws EngineError; an AbortError once `signal` stopped the call */
  call<Name extends CallName>(
    name: Name,
    args: Calls[Name]["args"],
    { onEvent, signal }: CallOptions<Name> = {},
  ): Promise<Calls[Name]["result"]> {
    const id = this.#next++;
    const worker = (this.#worker ??= this.#start());
    return new Promise((resolve, reject) => {
      const stop = (): void => this.#post(worker, { call: "stop", id });
      const settle = (): void => {
        this.#pending.delete(id);
        signal?.removeEventListener("abort", stop);
      };
      this.#pending.set(id, {
        onEvent: (event) => onEvent?.(event as Calls[Name]["event"]),
        resolve: (result) => {
          settle();
          resolve(result as Calls[Name]["result"]);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
      signal?.addEventListener("abort", stop);
      this.#post(worker, { call: name, id, args } as ToWorker);
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL("../worker/main.ts", import.meta.url), { type: "module", name: "infllm" });
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#hear(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(worker, { name: "WorkerError", message: `The worker that runs the model stopped: ${event.message || "it could not start"}. Load the model again.` });
    };
    return worker;
  }

  #post(worker: Worker, message: ToWorker): void {
    worker.postMessage(message);
  }

  #hear(message: FromWorker): void {
    const pending = this.#pending.get(message.id);
    if (message.type === "event") pending?.onEvent(message.event);
    else if (message.type === "result") pending?.resolve(message.result);
    else pending?.reject(new EngineError(message.failure));
  }

  /** What waits for a worker that is gone is told so; the next call starts another. */
  #fail(worker: Worker, failure: Failure): void {
    worker.terminate();
    if (this.#worker === worker) this.#worker = undefined;
    for (const pending of this.#pending.values()) pending.reject(new EngineError(failure));
  }
}
