/** What the visitor chose: from the address (`?backend=cpu&context=8192`), else from the last visit. */
import type { BackendChoice } from "./engine/protocol.ts";

export interface Settings {
  backend: BackendChoice;
  /** Tokens; the model's default when undefined. */
  contextLength: number | undefined;
}

const asked = new URLSearchParams(location.search);

export function readSettings(): Settings {
  const chosen = (name: string): string | null => asked.get(name) ?? localStorage.getItem(name);
  return { backend: backendOf(chosen("backend")), contextLength: numberOf(chosen("context")) };
}

/** The model that the address names, else the last one that was loaded and can be loaded again. */
export function chosenModel(): string {
  return asked.get("model") ?? localStorage.getItem("model") ?? "embedded";
}

export function storeModel(name: string): void {
  localStorage.setItem("model", name);
}

export function storeSettings({ backend, contextLength }: Settings): void {
  localStorage.setItem("backend", backend);
  localStorage.setItem("context", contextLength === undefined ? "" : String(contextLength));
}

/** Tokens of the example that the address asks for. */
export function exampleTokens(): number | undefined {
  return numberOf(asked.get("tokens"));
}

/** Which example: the one that the address asks for, else another each time. */
export function exampleSeed(): number {
  return numberOf(asked.get("seed")) ?? Math.floor(Math.random() * 2 ** 31);
}

function backendOf(name: string | null): BackendChoice {
  return name === "webgpu" || name === "cpu" ? name : "auto";
}

/** A whole number from 1. */
function numberOf(text: string | null): number | undefined {
  const value = Number(text);
  return Number.isSafeInteger(value) && value > 0 ? value : undefined;
}
