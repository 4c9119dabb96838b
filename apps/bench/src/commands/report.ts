import { assertWritable, BadUsageError, readText, writeBytes, type Io, type RegisterCommand } from "@infllm/command";
import { NotAvailableError } from "@infllm/tensor";
import { readGpuRecord } from "../page/gpu/record.ts";
import { htmlReport } from "../page/html.ts";
import { markdownReport } from "../page/markdown.ts";
import { buildReport } from "../page/report.ts";
import { readResults } from "../results/folder.ts";
import { resultsOption } from "../session.ts";
import { namesOption } from "./task-options.ts";

interface Options {
  readonly results: string;
  readonly out: string;
  readonly records?: readonly string[];
}

const help = `
Writes FILE.html, one page that needs nothing else, and FILE.md beside it with the same words and tables.

Examples:
  infllm-bench report --results results --out results/report.html
  infllm-bench report --records packages/backend-cuda/verified.json,packages/backend-webgpu/verified.json
`;

export const report: RegisterCommand = (program, io) => {
  program
    .command("report")
    .description("Turn a results folder into a page with charts and a Markdown file.")
    .addOption(resultsOption())
    .addOption(namesOption("--records <list>", "verified.json files of GPU backends, for a section of what they measured"))
    .option("--out <file>", "page to write; its name ends in .html", "report.html")
    .addHelpText("after", help)
    .action(({ results, out, records = [] }: Options) => writeReport(results, out, io, records));
};

/**
 * @param gpus paths of GPU backends' records
 * @throws NotAvailableError without any finished cell, FormatError for a damaged line or record
 */
export async function writeReport(results: string, out: string, io: Io, gpus: readonly string[] = []): Promise<void> {
  if (!out.endsWith(".html")) throw new BadUsageError(`--out is ${out}; the page's name must end in .html.`);
  const markdown = out.replace(/\.html$/, ".md");
  await assertWritable(out);
  const records = await readResults(results);
  if (records.length === 0) throw new NotAvailableError(`${results} holds no results yet. Measure something first: infllm-bench quick --results ${results}.`);
  const built = buildReport(records, await Promise.all(gpus.map(async (path) => readGpuRecord(await readText(path), path))));
  await writeBytes(out, Buffer.from(await htmlReport(built)));
  await writeBytes(markdown, Buffer.from(markdownReport(built)));
  io.stdout.write(`wrote ${out} and ${markdown}\n`);
}
