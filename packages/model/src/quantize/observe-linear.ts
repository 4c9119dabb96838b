import { UnsupportedError } from "@infllm/tensor";
import type { LinearArgs } from "@infllm/tensor";
import type { HostOps } from "@infllm/attention";
import type { ModelBackend } from "../forward/model-backend.ts";

/** A backend on which the host can look at tensors between ops. */
export type ObservableBackend = ModelBackend & { readonly host: HostOps };

/** @throws UnsupportedError when ops of the backend run later than they are called */
export function requireObservable(backend: ModelBackend): ObservableBackend {
  const { host } = backend;
  if (host !== undefined) return { ...backend, host };
  throw new UnsupportedError(
    `Calibration reads the inputs of linear layers while the model runs, which this backend (${backend.capabilities.description}) cannot offer. ` +
      "Use the cpu backend.",
  );
}

/**
 * The same backend, which shows the arguments of every `linear` to `observe` just before it runs. A recorded step is
 * enqueued anew each time, so that none is missed.
 */
export function observeLinear<B extends ObservableBackend>(backend: B, observe: (args: LinearArgs) => void): B {
  return {
    ...backend,
    capabilities: { ...backend.capabilities, runsLater: false },
    neural: {
      ...backend.neural,
      // What these multiply then comes by `linear`.
      gatedLinear: undefined,
      fused: undefined,
      linear(args) {
        observe(args);
        backend.neural.linear(args);
      },
    },
    record: (step) => ({ run: step, release() {} }),
  };
}
