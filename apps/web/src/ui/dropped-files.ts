/** Files and folders that the visitor drops anywhere on the page, or picks: a model or a text. */
import type { ModelSource } from "../engine/protocol.ts";
import { byId } from "./elements.ts";

export type Dropped =
  | { readonly kind: "model"; readonly source: ModelSource }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "refused"; readonly error: Error };

/** A dropped file of this size is no text that anyone reads. */
const LARGEST_TEXT = 64 * 2 ** 20;

export function acceptDrops(onDrop: (dropped: Dropped) => void): void {
  const hint = byId("drop-hint", HTMLDivElement);
  const carriesFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    hint.dataset["over"] = "";
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) delete hint.dataset["over"];
  });
  addEventListener("drop", (event) => {
    delete hint.dataset["over"];
    if (!carriesFiles(event) || event.dataTransfer === null) return;
    event.preventDefault();
    // Entries are only there until the event is over.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
    const folder = entries.find((entry) => entry.isDirectory)?.name;
    void filesOf(entries)
      .then((files) => sort(files, folder))
      .then(onDrop);
  });
}

/** What the files are: model files win over texts. @param folder where they were together, if they were */
export async function sort(files: readonly File[], folder?: string): Promise<Dropped> {
  const weights = files.filter(({ name }) => /\.(gguf|safetensors)$/i.test(name));
  const [first] = files;
  if (first === undefined) return refused("Nothing that can be read was dropped: the folder is empty.");
  if (weights.length > 0 || files.length > 1) {
    const named = folder ?? folderOf(first) ?? weights[0]?.name ?? first.name;
    return { kind: "model", source: { kind: "files", name: named, files: new Map(files.map((file) => [file.name, file])) } };
  }
  if (first.size > LARGEST_TEXT) return refused(`${first.name} is too large for a text, and no .gguf or .safetensors file.`);
  const text = await first.text();
  if (text.includes("\0")) return refused(`${first.name} is no text, and no .gguf or .safetensors file. Save it as plain text, then drop that.`);
  return { kind: "text", text };
}

function refused(message: string): Dropped {
  return { kind: "refused", error: new Error(message) };
}

/** The folder that a file was picked in. */
function folderOf(file: File): string | undefined {
  const [folder, ...rest] = file.webkitRelativePath.split("/");
  return rest.length > 0 ? folder : undefined;
}

/** The files among the entries, and those that lie directly in a folder among them. */
async function filesOf(entries: readonly FileSystemEntry[]): Promise<File[]> {
  const found: File[] = [];
  for (const entry of entries) {
    if (entry.isFile) found.push(await fileOf(entry as FileSystemFileEntry));
    else for (const inner of await entriesOf(entry as FileSystemDirectoryEntry)) if (inner.isFile) found.push(await fileOf(inner as FileSystemFileEntry));
  }
  return found.filter(({ name }) => !name.startsWith("."));
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  // A reader gives a hundred at a time, and none at the end.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    all.push(...some);
  }
}
