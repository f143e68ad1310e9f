// Runs uvu's test files in one process, without the ways in which uvu goes green although nothing was tested.
// Usage: node test/run.ts DIR [PATTERN] [TIMEOUT_MS]: every *.test.ts below DIR whose path in it matches PATTERN. The last
// line of its output is `N passed, N failed`; a test or a hook that took a second or more is named with its time.

import { readdirSync, readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** What a uvu suite resolves to. `true`: no test failed, or a hook threw and uvu lost the error. */
type Outcome = [errors: string | true, ran: number, skipped: number, total: number]
type Suite = () => Promise<Outcome>

declare global {
  var UVU_DEFER: number | undefined
  var UVU_INDEX: number | undefined
  var UVU_QUEUE: Suite[][]
  var UVU_LOST: (thrown: unknown) => void
  var UVU_TIMED: (name: string, act: () => unknown) => Promise<void>
}

const [dir = 'test/unit', pattern = '', timeoutMs = '60000'] = process.argv.slice(2)
const count = { passed: 0, failed: 0, skipped: 0 }
let running = ''
let ended = false

globalThis.UVU_DEFER = 1 // read when uvu loads: `.run()` then queues its suite instead of starting it

// uvu ends a suite by a return in a finally block, which throws away what a hook threw. This hands it over first.
const lost: unknown[] = []
globalThis.UVU_LOST = (thrown) => void lost.push(thrown)
const SHOWN_FROM_MS = 1000
const slow: string[] = []
globalThis.UVU_TIMED = async (name, act) => {
  const startMs = performance.now()
  try {
    await act()
  } finally {
    const tookMs = performance.now() - startMs
    if (tookMs >= SHOWN_FROM_MS) slow.push(`${(tookMs / 1000).toFixed(1).padStart(7)} s  ${name}`)
  }
}
const CHANGES: [string, string][] = [
  ['} finally {', '} catch (e) { UVU_LOST(e) } finally {'],
  ['for (hook of before) await hook(state)', 'for (hook of before) await UVU_TIMED("before", () => hook(state))'],
  ['await test.handler(state)', 'await UVU_TIMED(test.name, () => test.handler(state))'],
  ['for (hook of after) await hook(state)', 'for (hook of after) await UVU_TIMED("after", () => hook(state))'],
]
registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    if (!url.endsWith('/uvu/dist/index.mjs')) return loaded
    return { ...loaded, source: CHANGES.reduce(changed, String(loaded.source)) }
  },
})

function changed(source: string, [from, to]: [string, string]): string {
  if (!source.includes(from)) throw new Error(`uvu has changed: it has no '${from}' any more`)
  return source.replace(from, to)
}

function fail(words: string, failures = 1): void {
  console.log(`  ${running}: ${words}`)
  count.failed += failures
}

function stackOf(thrown: unknown): string {
  return thrown instanceof Error ? String(thrown.stack) : `thrown: ${String(thrown)}`
}

function finish(): never {
  ended = true
  if (count.skipped > 0) console.log(`${count.skipped} skipped`)
  console.log(`${count.passed} passed, ${count.failed} failed`)
  process.exit(count.failed === 0 ? 0 : 1)
}

function testFiles(): string[] {
  const wanted = new RegExp(pattern)
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts') && wanted.test(name))
    .sort()
}

/** Loads one file and takes the suites that it queued. */
async function suitesOf(name: string): Promise<Suite[]> {
  const file = join(dir, name)
  globalThis.UVU_INDEX = 0
  globalThis.UVU_QUEUE = [[]]
  await import(pathToFileURL(file).href)
  const source = readFileSync(file, 'utf8')
  for (const [, suite] of source.matchAll(/^(?:export )?(?:const|let) (\w+) = suite[(<]/gm)) {
    if (!source.includes(`${suite}.run()`)) fail(`suite ${suite} is never run, ${suite}.run() is missing`)
  }
  const suites = globalThis.UVU_QUEUE[0] ?? []
  if (suites.length === 0) fail('no suite called .run()')
  return suites
}

/** undefined: the suite did not end in time. */
async function inTime(suite: Suite): Promise<Outcome | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), Number(timeoutMs))
  return await Promise.race([suite(), late]).finally(() => clearTimeout(timer))
}

async function runSuite(suite: Suite): Promise<void> {
  lost.length = 0
  slow.length = 0
  const outcome = await inTime(suite)
  if (slow.length > 0) console.log(slow.join('\n'))
  if (outcome === undefined) {
    fail(`no result in ${timeoutMs} ms; what comes after it was not run`)
    finish()
  }
  const [errors, ran, skipped, total] = outcome
  count.passed += ran
  count.skipped += skipped
  if (errors !== true) {
    console.log(`\n${errors}`)
    count.failed += Math.max(1, total - ran)
  } else if (ran !== total) {
    fail(`a hook threw, or a test threw what is no Error (${ran}/${total}): ${lost.map(stackOf)}`, total - ran)
  }
  if (errors === true && total === 0 && skipped === 0) fail('a suite without a test')
}

async function runFile(name: string): Promise<void> {
  running = name
  console.log(name)
  try {
    for (const suite of await suitesOf(name)) await runSuite(suite)
  } catch (thrown) {
    fail(stackOf(thrown))
  }
}

// An error outside of every test, such as a rejection that nobody awaited, is a failure of the file that is running.
process.on('uncaughtException', (thrown) => {
  fail(`outside of a test: ${stackOf(thrown)}`)
  finish()
})
// A test that ends the process would otherwise choose the exit code itself.
process.on('exit', () => {
  if (!ended) process.exitCode = 1
})

const files = testFiles()
running = dir
if (files.length === 0) fail(`no *.test.ts${pattern === '' ? '' : ` matches ${pattern}`}`)
for (const name of files) await runFile(name)
finish()
