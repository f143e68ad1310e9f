// What the demo prints: numbered steps with their time, a moving percentage where a terminal can show one, a table at the end.

import type { Progress } from '../main-job.ts'

const startMs = performance.now()
let progressShown = false

export function say(line: string): void {
  endProgress()
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1).padStart(6)
  console.log(`${seconds} s  ${line}`)
}

export function heading(line: string): void {
  endProgress()
  console.log(`\n${line}`)
}

/** Shows a transfer's progress; on a file or pipe only each whole quarter. */
export function progressOf(what: string): (progress: Progress) => void {
  let lastQuarter = 0
  return ({ totalBytes = 0, bytesDone = 0 }) => {
    if (totalBytes === 0) return
    const percent = Math.floor((100 * bytesDone) / totalBytes)
    if (process.stdout.isTTY) {
      process.stdout.write(`\r          ${what}: ${percent} % of ${mib(totalBytes)}   `)
      progressShown = true
      return
    }
    const quarter = Math.floor(percent / 25)
    if (quarter > lastQuarter) say(`${what}: ${percent} % of ${mib(totalBytes)}`)
    lastQuarter = Math.max(quarter, lastQuarter)
  }
}

export function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

/** Columns as wide as their widest cell; the first to the left, the others to the right. */
export function table(rows: string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const line = (row: string[]) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  ')
  const rule = widths.map((width) => '-'.repeat(width)).join('  ')
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join('\n')
}

function endProgress(): void {
  if (progressShown) process.stdout.write('\n')
  progressShown = false
}
