// The sum over several test processes counts files and processes that fail without a report.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const all = suite('test/run-all.ts')

const GOOD = "import { test } from 'uvu'\ntest('a', () => {})\ntest('b', () => {})\ntest.run()"
const BAD = "import { test } from 'uvu'\ntest('a', () => {})\ntest('b', () => { throw new Error('x') })\ntest.run()"
const KILLED = "process.kill(process.pid, 'SIGKILL')"

function runAll(files: Record<string, string>): { code: number | null; lines: string[] } {
  mkdirSync('build', { recursive: true })
  const dir = mkdtempSync('build/run-all-')
  try {
    for (const [name, source] of Object.entries(files)) writeFileSync(join(dir, name), source)
    const { status, stdout } = spawnSync(process.execPath, ['test/run-all.ts', dir], { encoding: 'utf8' })
    return { code: status, lines: stdout.trimEnd().split('\n') }
  } finally {
    rmSync(dir, { recursive: true })
  }
}

all('sums up over files', () => {
  const { code, lines } = runAll({ 'a.test.ts': GOOD, 'b.test.ts': GOOD })
  assert.is(code, 0)
  assert.is(lines.at(-1), '4 passed, 0 failed')
})

all('a failed test and a process that dies are both counted, and the rest still runs', () => {
  const { code, lines } = runAll({ 'a.test.ts': BAD, 'b.test.ts': KILLED, 'c.test.ts': GOOD })
  assert.is(code, 1)
  assert.is(lines.at(-1), '3 passed, 2 failed')
})

all('a folder without tests is red', () => {
  const { code, lines } = runAll({})
  assert.is(code, 1)
  assert.is(lines.at(-1), '0 passed, 1 failed')
})

all.run()
