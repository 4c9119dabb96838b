/** The report as one page that needs nothing else: styles inside, charts as SVG. */
import { chartSvg } from "./chart.ts";
import type { Report } from "./report.ts";
import type { Chart, Headline, Section, Table } from "./section.ts";
import { colourRules } from "./theme.ts";

const styles = `
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main,header{max-width:1200px;margin:0 auto;padding:0 24px}
header{padding-top:40px}
h1{font-size:30px;margin:0;letter-spacing:-.02em}
h2{font-size:22px;margin:56px 0 8px;letter-spacing:-.01em}
h3{font-size:15px;margin:0 0 2px}
p{margin:0 0 10px;max-width:78ch}
.soft,figcaption,header p{color:var(--soft)}
nav{display:flex;flex-wrap:wrap;gap:6px 16px;margin:14px 0 22px}
a{color:var(--link);text-decoration:none}a:hover,a:focus-visible{text-decoration:underline}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(240px,1fr));gap:12px}
.tile,figure,details{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:14px 16px}
.tile b{display:block;font-size:28px;line-height:1.2;font-weight:650;font-variant-numeric:tabular-nums}
.tile span{display:block}
.tile small{color:var(--soft);font-size:12.5px}
.charts{display:flex;flex-wrap:wrap;gap:14px;margin:14px 0}
figure{margin:0;padding:16px 18px;flex:0 1 auto;max-width:100%}
figcaption{font-size:13px;margin-bottom:10px;max-width:58ch}
figure .plot{overflow-x:auto}
figure svg{display:block;max-width:none}
details{margin:14px 0;padding:10px 18px}
summary{cursor:pointer;font-weight:600}
.scroll{overflow-x:auto;margin:10px 0 4px}
table{border-collapse:collapse;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{padding:4px 14px 4px 0;text-align:right;white-space:nowrap;border-bottom:1px solid var(--grid)}
th:first-child,td:first-child{text-align:left}
table.words td{text-align:left;white-space:normal;vertical-align:top}
th{font-weight:600;color:var(--soft)}
footer{max-width:1200px;margin:56px auto 40px;padding:0 24px;color:var(--soft);font-size:13px}
@media(max-width:640px){main,header{padding:0 14px}h1{font-size:25px}figure{padding:12px}}
`.trim();

export async function htmlReport(report: Report): Promise<string> {
  const sections: string[] = [];
  for (const section of report.sections) sections.push(await sectionHtml(section));
  const links = report.sections.map(({ id, title }) => `<a href="#${escape(id)}">${escape(title)}</a>`).join("");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>${escape(report.title)}</title>
<style>${colourRules()}
${styles}</style>
</head>
<body>
<header>
<h1>${escape(report.title)}</h1>
<p>${escape(report.subtitle)}</p>
<nav aria-label="Sections">${links}</nav>
<div class="tiles">${report.headlines.map(tileHtml).join("")}</div>
</header>
<main>
${sections.join("\n")}
</main>
<footer>Made by infllm-bench report.</footer>
</body>
</html>
`;
}

async function sectionHtml({ id, title, text, charts, tables }: Section): Promise<string> {
  const figures: string[] = [];
  for (const chart of charts) figures.push(await chartHtml(chart));
  const [first, ...others] = tables;
  return [
    `<section id="${escape(id)}">`,
    `<h2>${escape(title)}</h2>`,
    ...text.map((paragraph) => `<p>${escape(paragraph)}</p>`),
    ...(figures.length > 0 ? [`<div class="charts">${figures.join("\n")}</div>`] : []),
    ...(first ? [tableHtml(first, charts.length === 0 || first.rows.length <= 12)] : []),
    ...others.map((table) => tableHtml(table, false)),
    "</section>",
  ].join("\n");
}

async function chartHtml({ title, caption, spec }: Chart): Promise<string> {
  const svg = (await chartSvg(spec)).replace("<svg", `<svg role="img" aria-label="${escape(title)}"`);
  return `<figure><h3>${escape(title)}</h3><figcaption>${escape(caption)}</figcaption><div class="plot">${svg}</div></figure>`;
}

function tileHtml({ value, what, detail }: Headline): string {
  return `<div class="tile"><b>${escape(value)}</b><span>${escape(what)}</span><small>${escape(detail)}</small></div>`;
}

function tableHtml({ title, head, rows }: Table, open: boolean): string {
  const numeric = rows.some((row) => row.slice(1).some((cell) => /^[–\d]/.test(cell)));
  const cells = (tag: "th" | "td", row: readonly string[]): string => `<tr>${row.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join("")}</tr>`;
  const top = head.some((cell) => cell !== "") ? `<thead>${cells("th", head)}</thead>` : "";
  const body = `<div class="scroll"><table${numeric ? "" : ' class="words"'}>${top}<tbody>${rows.map((row) => cells("td", row)).join("")}</tbody></table></div>`;
  return `<details${open ? " open" : ""}><summary>${escape(title)}</summary>${body}</details>`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
