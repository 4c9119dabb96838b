/** The report's words and tables as Markdown. */
import type { Report } from "./report.ts";
import type { Table } from "./section.ts";

export function markdownReport(report: Report): string {
  const headlines = report.headlines.map(({ value, what, detail }) => `- **${value}** ${what}: ${detail}`);
  const sections = report.sections.map(({ title, text, tables }) => [`## ${title}`, ...text, ...tables.map(tableText)].join("\n\n"));
  return `${[`# ${report.title}`, report.subtitle, headlines.join("\n"), ...sections].filter((part) => part !== "").join("\n\n")}\n`;
}

function tableText({ title, head, rows }: Table): string {
  const line = (row: readonly string[]): string => `| ${row.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
  const rule = `|${head.map((_, column) => (column === 0 ? "---" : "--:")).join("|")}|`;
  return [`**${title}**`, "", line(head), rule, ...rows.map(line)].join("\n");
}
