/** What the visitor chose: from the address (`?backend=cpu&context=8192&tokens=2048`), else from the last visit. */
import type { BackendChoice } from "./engine/protocol.ts";

export interface Settings {
  backend: BackendChoice;
  /** Tokens; the model's default when undefined. */
  contextLength: number | undefined;
}

const asked = new URLSearchParams(location.search);

export function readSettings(): Settings {
  return { backend: backendOf(asked.get("backend") ?? localStorage.getItem("backend")), contextLength: lengthOf(asked.get("context") ?? localStorage.getItem("context")) };
}

export function storeSettings({ backend, contextLength }: Settings): void {
  localStorage.setItem("backend", backend);
  localStorage.setItem("context", contextLength === undefined ? "" : String(contextLength));
}

/** Tokens of the example that the address asks for. */
export function exampleTokens(): number | undefined {
  return lengthOf(asked.get("tokens"));
}

function backendOf(name: string | null): BackendChoice {
  return name === "webgpu" || name === "cpu" ? name : "auto";
}

function lengthOf(text: string | null): number | undefined {
  const tokens = Number(text);
  return Number.isSafeInteger(tokens) && tokens > 0 ? tokens : undefined;
}
