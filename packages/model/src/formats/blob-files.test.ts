import { FormatError, NotAvailableError } from "@infllm/tensor";
import { expect, it } from "vitest";
import { blobFiles } from "./blob-files.ts";

const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i);
const files = blobFiles("dropped", new Map([["m.gguf", new Blob([bytes])], ["config.json", new Blob(["{}"])]]));

it("lists blobs by name and reads them by range", async () => {
  expect(await files.list()).toEqual(["config.json", "m.gguf"]);
  const source = await files.open("m.gguf");
  expect(source).toMatchObject({ name: "m.gguf", size: 1000 });
  expect(await source.read(254, 259)).toEqual(bytes.slice(254, 259));
  expect(await source.read(1000, 1000)).toHaveLength(0);
  await source.close();
});

it("refuses other names and ranges outside", async () => {
  await expect(files.open("../m.gguf")).rejects.toThrow(/dropped has no file "..\/m.gguf"; it holds config.json, m.gguf/);
  await expect((await files.open("m.gguf")).read(990, 1001)).rejects.toThrow(FormatError);
});

it("says so when a file is gone", async () => {
  const gone = new Blob(["four"]);
  gone.slice = () => {
    const part = new Blob([]);
    part.arrayBuffer = () => Promise.reject(new DOMException("could not be read", "NotReadableError"));
    return part;
  };
  const source = await blobFiles("dropped", new Map([["m.gguf", gone]])).open("m.gguf");
  await expect(source.read(0, 4)).rejects.toThrow(NotAvailableError);
  await expect(source.read(0, 4)).rejects.toThrow(/m.gguf cannot be read any more .*choose it again/);
});
