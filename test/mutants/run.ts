// Breaks the code on purpose, one patch at a time in a copy of the tree, and looks whether the tests notice.
// Usage: node test/mutants/run.ts [PATTERN]; writes docs/mutants.md when all were run. The last line is `N passed, N failed`.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

const SEEDS = 200
/** For the one test of a mutant: a machine may be busy. */
const TEST_MS = 300_000
const FOLDER = 'test/mutants'
const [pattern = ''] = process.argv.slice(2)

/** First line of the patch: what it breaks. `Test: <folder> <pattern>`: what finds it, where simulation runs by seed need too many. */
type Mutant = { name: string; patch: string; breaks: string; test: string | undefined }
type Verdict = { mutant: Mutant; killed: boolean; seeds: string; by: string }

function readMutants(): Mutant[] {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.patch') && new RegExp(pattern).test(file))
  return files.sort().map((file) => {
    const text = readFileSync(join(FOLDER, file), 'utf8')
    const [breaks = ''] = text.split('\n', 1)
    return {
      name: file.replace('.patch', ''),
      patch: resolve(FOLDER, file),
      breaks,
      test: /^Test: (.+)$/m.exec(text)?.[1],
    }
  })
}

/** The tree as it stands, also what is not committed yet; never the checkout itself. */
function copyTree(): string {
  const copy = mkdtempSync(join(tmpdir(), 'dormouse-mutants-'))
  const { stdout } = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
    encoding: 'utf8',
  })
  for (const file of stdout.split('\0').filter((name) => name !== '')) {
    mkdirSync(dirname(join(copy, file)), { recursive: true })
    cpSync(file, join(copy, file))
  }
  symlinkSync(resolve('node_modules'), join(copy, 'node_modules'))
  return copy
}

function runIn(copy: string, program: string, args: string[]): { code: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: copy, encoding: 'utf8', maxBuffer: 1 << 28 })
  return { code: status, output: `${stdout}${stderr}` }
}

function soak(copy: string): { failure: string | undefined; seeds: string } {
  const { code, output } = runIn(copy, process.execPath, ['test/simulation/soak.ts', String(SEEDS), '1', '--stop'])
  const [, failure] = /^seed \d+ failed: (.+)$/m.exec(output) ?? []
  const [, passed = '0'] = /^(\d+) passed, \d+ failed$/m.exec(output) ?? []
  // A mutant that does not even run proves nothing.
  if (code !== 0 && (failure === undefined || / is not defined|SyntaxError/.test(output))) throw new Error(output)
  return { failure, seeds: failure === undefined ? `more than ${SEEDS}` : String(Number(passed) + 1) }
}

function play(copy: string, mutant: Mutant): Verdict {
  const { failure, seeds } = soak(copy)
  return { mutant, killed: failure !== undefined, seeds, by: failure ?? 'nothing' }
}

/** `test`: folder and pattern, as test/run.ts takes them. */
function testOne(copy: string, mutant: Mutant, test: string): Verdict {
  const { code, output } = runIn(copy, process.execPath, ['test/run.ts', ...test.split(' '), String(TEST_MS)])
  const [, failure = 'nothing'] = /FAIL {2}(?:.+ {2})?"(.+)"/.exec(output) ?? []
  return { mutant, killed: code !== 0 && failure !== 'nothing', seeds: 'one test', by: `${test}: ${failure}` }
}

function tryMutant(copy: string, mutant: Mutant): Verdict {
  const applied = runIn(copy, 'patch', ['--strip=1', '--fuzz=0', '--no-backup-if-mismatch', `--input=${mutant.patch}`])
  try {
    if (applied.code !== 0)
      return { mutant, killed: false, seeds: '', by: `the patch does not apply: ${applied.output}` }
    return mutant.test === undefined ? play(copy, mutant) : testOne(copy, mutant, mutant.test)
  } finally {
    runIn(copy, 'patch', ['--strip=1', '--reverse', '--force', '--no-backup-if-mismatch', `--input=${mutant.patch}`])
  }
}

/** Without what differs from run to run. */
function cell(text: string): string {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '…')
    .replace(/[0-9a-f]{16}-[0-9a-f-]+/g, '…')
    .replaceAll('|', '\\|')
    .slice(0, 110)
}

function table(verdicts: Verdict[]): string {
  const rows = verdicts.map(
    ({ mutant, seeds, by }) =>
      `| [${mutant.name}](../test/mutants/${mutant.name}.patch) | ${mutant.breaks} | ${seeds} | ${cell(by)} |`,
  )
  return `# Mutants

\`make mutants\` breaks the code on purpose, one patch of \`test/mutants\` at a time in a copy of the tree, and plays up to ${SEEDS} simulation runs by
seed (\`make soak\`) with it. One that survives all of them, or whose patch does not apply any more, is a failure. Without a patch all
runs end right. *Runs*: how many it took until one ended wrong; two cores take turns, so it varies a little; where runs by seed need
too many, \`one test\` was run instead, which the last column names. This page is written by the run.

| Mutant | What it breaks | Runs | What ended wrong |
|---|---|---|---|
${rows.join('\n')}
`
}

const copy = copyTree()
try {
  const verdicts: Verdict[] = []
  let failed = 0
  // One of them by itself is for those who write it.
  const unpatched = pattern === '' ? soak(copy).failure : undefined
  if (pattern === '')
    console.log(unpatched === undefined ? `ok   unpatched: ${SEEDS} runs end right` : `FAIL ${unpatched}`)
  if (unpatched !== undefined) failed++
  for (const mutant of readMutants()) {
    const verdict = tryMutant(copy, mutant)
    verdicts.push(verdict)
    if (!verdict.killed) failed++
    console.log(`${verdict.killed ? 'ok  ' : 'FAIL'} ${mutant.name}: ${verdict.seeds} runs, ${cell(verdict.by)}`)
  }
  if (pattern === '' && failed === 0) writeFileSync('docs/mutants.md', table(verdicts))
  const total = verdicts.length + (pattern === '' ? 1 : 0)
  console.log(`${total - failed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
} finally {
  rmSync(copy, { recursive: true, force: true })
}
