/** What the visitor chose: from the address (`?backend=cpu&context=8192&weights=q8_0`), else from the last visit. */
import type { BackendChoice, WeightsChoice } from "./engine/protocol.ts";

export interface Settings {
  backend: BackendChoice;
  /** Tokens; the model's default when undefined. */
  contextLength: number | undefined;
  weights: WeightsChoice;
}

export function readSettings(): Settings {
  const chosen = (name: string): string | null => fromAddress(name) ?? localStorage.getItem(name);
  return { backend: backendOf(chosen("backend")), contextLength: numberOf(chosen("context")), weights: weightsOf(chosen("weights")) };
}

/** The model that the address names, else the last one that was loaded and can be loaded again. */
export function chosenModel(): string {
  return fromAddress("model") ?? localStorage.getItem("model") ?? "embedded";
}

export function storeModel(name: string): void {
  localStorage.setItem("model", name);
}

export function storeSettings({ backend, contextLength, weights }: Settings): void {
  localStorage.setItem("backend", backend);
  localStorage.setItem("weights", weights);
  localStorage.setItem("context", contextLength === undefined ? "" : String(contextLength));
}

/** Tokens of the example that the address asks for. */
export function exampleTokens(): number | undefined {
  return numberOf(fromAddress("tokens"));
}

/** Which example: the one that the address asks for, else another each time. */
export function exampleSeed(): number {
  return numberOf(fromAddress("seed")) ?? Math.floor(Math.random() * 2 ** 31);
}

function fromAddress(name: string): string | null {
  return new URLSearchParams(location.search).get(name);
}

export function backendOf(name: string | null): BackendChoice {
  return name === "webgpu" || name === "cpu" ? name : "auto";
}

export function weightsOf(name: string | null): WeightsChoice {
  return name === "q8_0" || name === "q4_0" ? name : "stored";
}

/** A whole number from 1. */
export function numberOf(text: string | null): number | undefined {
  const value = Number(text);
  return Number.isSafeInteger(value) && value > 0 ? value : undefined;
}
