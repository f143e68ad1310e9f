// The test runner fails for each way in which a test file can fail silently.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const runner = suite('test/run.ts')

const HEAD = "import { suite, test } from 'uvu'\nimport * as assert from 'uvu/assert'\n"

/** Runs the given files, by name, in a folder of their own inside the checkout (so that they find uvu). */
function run(files: Record<string, string>, timeoutMs = 5000): { code: number | null; last: string; out: string } {
  mkdirSync('build', { recursive: true })
  const dir = mkdtempSync('build/runner-')
  try {
    for (const [name, source] of Object.entries(files)) writeFileSync(join(dir, name), HEAD + source)
    const arguments_ = ['test/run.ts', dir, '\\.test\\.ts$', String(timeoutMs)]
    const { status, stdout, stderr } = spawnSync(process.execPath, arguments_, { encoding: 'utf8' })
    return { code: status, last: stdout.trimEnd().split('\n').at(-1) ?? '', out: stdout + stderr }
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const RED: [why: string, source: string, last: string][] = [
  ['a failing assertion', "test('a', () => {})\ntest('b', () => assert.is(1, 2))\ntest.run()", '1 passed, 1 failed'],
  [
    'a before hook that throws',
    "test.before(() => { throw new Error('x') })\ntest('a', () => {})\ntest.run()",
    '0 passed, 1 failed',
  ],
  [
    'an after hook that throws',
    "test.after(() => { throw new Error('x') })\ntest('a', () => {})\ntest.run()",
    '0 passed, 1 failed',
  ],
  [
    'an after.each hook that throws',
    "test.after.each(() => { throw new Error('x') })\ntest('a', () => {})\ntest('b', () => {})\ntest.run()",
    '0 passed, 2 failed',
  ],
  ['a thrown string', "test('a', () => { throw 'x' })\ntest.run()", '0 passed, 1 failed'],
  ['a forgotten .run()', "test('a', () => {})", '0 passed, 1 failed'],
  [
    'a second suite whose .run() is forgotten',
    "test('a', () => {})\ntest.run()\nconst other = suite('other')\nother('b', () => {})",
    '1 passed, 1 failed',
  ],
  ['a suite without tests', 'test.run()', '0 passed, 1 failed'],
  ['a file that cannot be loaded', "import './absent.ts'\ntest.run()", '0 passed, 1 failed'],
  [
    'a rejection that nobody awaits',
    "test('a', async () => { void Promise.reject(new Error('x')); await new Promise((r) => setTimeout(r, 50)) })\ntest.run()",
    '0 passed, 1 failed',
  ],
]

for (const [why, source, last] of RED) {
  runner(`${why} is red`, () => {
    const result = run({ 'case.test.ts': source })
    assert.is(result.code, 1, result.out)
    assert.is(result.last, last, result.out)
  })
}

runner('tests and hooks that took a second or more are named with their time, others are not', () => {
  const slowly = 'async () => { await new Promise((resolve) => setTimeout(resolve, 1100)) }'
  const source = `test.before(${slowly})\ntest('slow', ${slowly})\ntest('quick', () => {})\ntest.run()`
  const { out } = run({ 'case.test.ts': source })
  assert.match(out, /^ +1\.\d s {2}before$/m)
  assert.match(out, /^ +1\.\d s {2}slow$/m)
  assert.not.match(out, /quick/)
})

runner('the error of a hook is reported', () => {
  const source = "test.before(() => { throw new Error('no such server') })\ntest('a', () => {})\ntest.run()"
  assert.match(run({ 'case.test.ts': source }).out, /no such server/)
})

runner('a hung test is red, and the run ends', () => {
  const result = run({ 'case.test.ts': "test('a', () => new Promise(() => {}))\ntest.run()" }, 100)
  assert.is(result.code, 1)
  assert.is(result.last, '0 passed, 1 failed')
})

runner('a test that ends the process is red', () => {
  assert.is(run({ 'case.test.ts': "test('a', () => process.exit(0))\ntest.run()" }).code, 1)
})

runner('no test file at all is red', () => {
  const result = run({ 'case.ts': '' })
  assert.is(result.code, 1)
  assert.is(result.last, '0 passed, 1 failed')
})

runner('a file that fails does not hide the next one', () => {
  const result = run({ 'a.test.ts': 'throw new Error()', 'b.test.ts': "test('b', () => {})\ntest.run()" })
  assert.is(result.last, '1 passed, 1 failed')
})

runner('good files are green', () => {
  const good = "test('a', async () => {})\ntest.run()"
  const result = run({ 'a.test.ts': good, 'b.test.ts': good })
  assert.is(result.code, 0, result.out)
  assert.is(result.last, '2 passed, 0 failed')
})

runner.run()
