import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { bytesSource, openSafetensors } from "@infllm/tensor";
import type { SafetensorsFile } from "@infllm/tensor";
import type { WeightSource } from "../../src/formats/weight-source.ts";

/** A path below the fixtures that `make.py` writes. */
export function fixturePath(path: string): string {
  return fileURLToPath(new URL(`../fixtures/hf/${path}`, import.meta.url));
}

export function fixtureJson(path: string): unknown {
  return JSON.parse(readFileSync(fixturePath(path), "utf8"));
}

export function fixtureTensors(path: string): Promise<SafetensorsFile> {
  return openSafetensors(bytesSource(new Uint8Array(readFileSync(fixturePath(path))), path));
}

/** The tensors whose names start with `prefix`, under the rest of their names. */
export function tensorsUnder(file: SafetensorsFile, prefix: string): WeightSource {
  const names = [...file.tensors.keys(), ...file.unreadable.keys()].filter((name) => name.startsWith(prefix));
  return {
    names: names.map((name) => name.slice(prefix.length)),
    info(name) {
      const entry = file.tensors.get(prefix + name);
      if (entry === undefined) throw new Error(`${prefix}${name} is no tensor of ${file.name}`);
      return { dtype: entry.dtype, shape: entry.shape };
    },
    readRows: (name, from, to) => file.read(prefix + name, from, to),
  };
}
