// The results as JUnit XML, which most CI servers read: one suite per part.

import type { Ended } from './child.ts'

/** XML 1.0 has no place for other control characters, not even as references. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to be removed
const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g
const MOST_OUTPUT = 100_000

export function junitXml(results: readonly Ended[]): string {
  const suites = results.map(({ part, passed, failed, seconds, output }) => {
    const name = escapeXml(part.name)
    const failure = failed > 0 ? `<failure>${escapeXml(output.slice(-MOST_OUTPUT))}</failure>` : ''
    return (
      `<testsuite name="${name}" tests="${passed + failed}" failures="${failed}" time="${seconds.toFixed(1)}">` +
      `<testcase name="${name}" time="${seconds.toFixed(1)}">${failure}</testcase></testsuite>`
    )
  })
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${suites.join('\n')}\n</testsuites>\n`
}

function escapeXml(text: string): string {
  return text
    .replace(NOT_XML, '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
