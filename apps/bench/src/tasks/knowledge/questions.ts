/** Files of multiple-choice questions: a CSV file a subject, or JSON Lines with a subject in each row. */
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parse } from "csv-parse/sync";
import { FormatError, NotAvailableError } from "@infllm/tensor";
import { findData } from "../data/files.ts";
import { parseJsonLines, Row } from "../data/row.ts";
import type { DataFile, DataSource } from "../task.ts";

export const letters = ["A", "B", "C", "D"] as const;

export interface Question {
  readonly subject: string;
  readonly question: string;
  /** Texts of A to D. */
  readonly choices: readonly string[];
  /** Index of the right choice. */
  readonly answer: number;
}

export interface QuestionSet {
  readonly questions: readonly Question[];
  /** Worked examples by subject. */
  readonly examples: ReadonlyMap<string, readonly Question[]>;
  readonly source: string;
}

/** How a data set lays out its folder. */
export interface QuestionFiles extends DataFile {
  /** Names of the split with questions and of the one with examples, e.g. `test` and `dev`. */
  readonly splits: { readonly questions: string; readonly examples: string };
  /** Columns of a CSV file without a heading; with one they are read from it. */
  readonly columns?: readonly string[];
}

/**
 * Questions of `<folder>/<split>/<subject>_<split>.csv`, or of `<folder>/<split>.jsonl` with subject, question, choices
 * and answer (0 to 3, or a letter).
 * @throws NotAvailableError, FormatError (file, line and field)
 */
export async function readQuestions(files: QuestionFiles, source: DataSource | undefined): Promise<QuestionSet> {
  if (source === undefined) throw new NotAvailableError(`${files.task} needs its data: give a folder. It is ${files.from}. Expected: ${files.fields}. This package has a few samples in that form.`);
  const folder = await questionFolder(files, source);
  const [questions, examples] = await Promise.all([
    readSplit(files, folder, files.splits.questions),
    readSplit(files, folder, files.splits.examples),
  ]);
  const bySubject = new Map<string, Question[]>();
  for (const example of examples) bySubject.set(example.subject, [...(bySubject.get(example.subject) ?? []), example]);
  return { questions, examples: bySubject, source: source.kind === "fixture" ? "fixture" : folder };
}

async function questionFolder(files: QuestionFiles, source: DataSource): Promise<string> {
  if (source.kind === "fixture") return findData(files, source);
  const entries = await readdir(source.path).catch(() => undefined);
  if (entries === undefined) {
    throw new NotAvailableError(`There is no folder ${source.path}, in which ${files.task} looks for its data. It is ${files.from}. Expected: ${files.fields}.`);
  }
  return entries.includes("data") ? join(source.path, "data") : source.path;
}

async function readSplit(files: QuestionFiles, folder: string, split: string): Promise<Question[]> {
  const lines = await readFile(join(folder, `${split}.jsonl`), "utf8").catch(() => undefined);
  if (lines !== undefined) return parseJsonLines(lines, join(folder, `${split}.jsonl`)).map((row) => questionOf(row, row.text("subject")));
  const names = await readdir(join(folder, split)).catch(() => []);
  const tables = names.filter((name) => name.endsWith(".csv")).sort();
  if (tables.length === 0) {
    throw new NotAvailableError(`${folder} has neither ${split}.jsonl nor CSV files in ${split}/, which ${files.task} reads. The data is ${files.from}. Expected: ${files.fields}.`);
  }
  const read = tables.map(async (name) => parseTable(await readFile(join(folder, split, name), "utf8"), join(folder, split, name), files, split));
  return (await Promise.all(read)).flat();
}

function parseTable(text: string, path: string, { columns }: QuestionFiles, split: string): Question[] {
  const subject = basename(path, ".csv").replace(new RegExp(`_${split}$`), "");
  return parseCsv(text, path, columns).map((row) => questionOf(row, subject));
}

function parseCsv(text: string, path: string, columns: readonly string[] | undefined): Row[] {
  try {
    const records = parse(text, { bom: true, info: true, skip_empty_lines: true, columns: columns === undefined ? true : [...columns] });
    return (records as unknown as { record: unknown; info: { lines: number } }[]).map(({ record, info }) => new Row(record, `${path}, line ${info.lines}`));
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw new FormatError(`${path} is no CSV table that can be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function questionOf(row: Row, subject: string): Question {
  const choices = row.has("choices") ? row.texts("choices", letters.length) : letters.map((letter) => row.text(letter));
  return { subject, question: row.text("question"), choices, answer: answerIndex(row) };
}

function answerIndex(row: Row): number {
  const given = row.textOrNumber("answer").trim();
  const index = letters.findIndex((letter, at) => letter === given || String(at) === given);
  if (index < 0) throw new FormatError(`${row.where} has "${given}" in the field "answer"; expected A, B, C, D or 0 to 3.`);
  return index;
}
