// Velero can read each line on stderr, whatever was logged. A line of another form can end the Velero server.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createLog } from '../../../velero/host/log.ts'
import { LEVELS, logLine, textOf } from '../../../velero/host/log-line.ts'
import { killLeftPlugins, type Plugin, readLogLine, startPlugin } from './go-plugin-client.ts'

const test = suite('log of the Velero plugin')

const NOW_MS = Date.UTC(2026, 10, 26, 15, 4, 5, 7)
const MiB = 1024 * 1024
const BACKUP = JSON.stringify({ kind: 'Backup', metadata: { name: 'nightly' } })

function lineOf(message: unknown, fields: Record<string, unknown> = {}) {
  return readLogLine(logLine({ level: 'info', message, fields, source: '/a/b.ts:7', nowMs: NOW_MS }))
}

test('a line has its message, level, time and source in the keys and forms of go-hclog, and its fields beside them', () => {
  assert.equal(lineOf('moved', { bytes: '5' }), {
    bytes: '5',
    '@level': 'info',
    '@message': 'moved',
    '@timestamp': '2026-11-26T15:04:05.007000Z',
    logSource: '/a/b.ts:7',
    '@logSourceSetBy': 'plugin',
  })
})

test('newlines and control characters stay inside of the JSON', () => {
  const said = Array.from({ length: 0x21 }, (_, code) => String.fromCharCode(code)).join('')
  const line = logLine({ level: 'warn', message: said, fields: { said }, source: '', nowMs: NOW_MS })
  assert.not.match(line, /\p{Cc}/u)
  assert.equal([readLogLine(line)['@message'], readLogLine(line)['said']], [said, said])
})

test('half a character becomes the replacement character', () => {
  assert.equal(lineOf('a\ud800b', { c: '\udc00' })['@message'], 'a\ufffdb')
  assert.is(lineOf('', { c: '\udc00' })['c'], '\ufffd')
})

test('a field cannot take the place of what every line has, nor a key that Velero drops', () => {
  const names = ['time', 'timestamp', 'level', '@level', '@message', '@timestamp', '@logSourceSetBy', 'logSource']
  const line = lineOf('said', Object.fromEntries(names.map((name) => [name, 'planted'])))
  for (const name of names) assert.is(line[`_${name}`], 'planted')
  assert.equal([line['@message'], line['@level'], line['logSource']], ['said', 'info', '/a/b.ts:7'])
})

const HUGE: [what: string, text: string][] = [
  ['letters', 'x'.repeat(MiB)],
  ['quotation marks', '"'.repeat(MiB)],
  ['control characters', '\x01'.repeat(MiB)],
  ['three-byte characters', '€'.repeat(MiB)],
  ['emoji', '😀'.repeat(MiB / 2)],
  ['half characters', '\ud83d'.repeat(MiB)],
]
for (const [what, text] of HUGE) {
  test(`a mebibyte of ${what} is cut, with a mark that says how long it was`, () => {
    const line = lineOf(text, { text, other: 'kept?' })
    for (const said of [line['@message'], line['text']]) {
      assert.match(said ?? '', /… \(cut, 1048576 characters\)$/)
      assert.ok(Buffer.byteLength(JSON.stringify(said)) > 20_000, 'no more is cut than must be')
      assert.not.match(said ?? '', /\ufffd… /.test(text) ? /^$/ : /[\ud800-\udbff]… /)
    }
  })
}

test('a text that just fits is whole, and one byte more is cut', () => {
  assert.is(lineOf('x'.repeat(32 * 1024))['@message'], 'x'.repeat(32 * 1024))
  assert.match(lineOf('x'.repeat(32 * 1024 + 1))['@message'] ?? '', 'cut, 32769')
})

test('of too many fields the first are kept, and the line says how many were not', () => {
  const fields = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`field-${index}`, 'some value']))
  const line = lineOf('many', fields)
  const kept = Object.keys(line).filter((name) => name.startsWith('field-')).length
  assert.ok(kept > 500)
  assert.is(Number(line['fieldsCut']), 5000 - kept)
})

test('a name of any length is cut', () => {
  const line = lineOf('m', { ['n'.repeat(MiB)]: 'v' })
  assert.ok(Object.entries(line).some(([name, value]) => name.startsWith('nnn') && name.length < 300 && value === 'v'))
})

test('an error is logged with its stack and its causes', () => {
  const error = new Error('upload failed', { cause: new TypeError('x is undefined') })
  const { error: said = '' } = lineOf('m', { error })
  assert.match(said, /^Error: upload failed\n +at /)
  assert.match(said, 'caused by: TypeError: x is undefined')
})

test('an error that causes itself, or hides its own text, is logged all the same', () => {
  const error = new Error('round')
  error.cause = error
  const hiding = Object.defineProperty(new Error('x'), 'stack', {
    get: () => {
      throw new Error('no')
    },
  })
  assert.type(textOf(error), 'string')
  assert.type(textOf(hiding), 'string')
})

const anyString = fc.string({ unit: 'binary', maxLength: 300 })
const loneSurrogates = fc.array(fc.integer({ min: 0xd700, max: 0xe0ff })).map((codes) => String.fromCharCode(...codes))
const strange = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withTypedArray: true }),
  anyString,
  loneSurrogates,
  fc.integer({ min: 0, max: 20_000 }).map((times) => '\u0001"é😀'.repeat(times)),
  anyString.map((message) => new Error(message)),
  fc.constantFrom(
    Symbol('s'),
    () => 5,
    new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error('no')
        },
      },
    ),
    new Proxy(
      {},
      {
        getPrototypeOf: () => {
          throw new Error('no')
        },
      },
    ),
  ),
)
const name = fc.oneof(
  anyString,
  loneSurrogates,
  fc.constantFrom('level', 'time', '@message', '__proto__', 'toJSON', ''),
)

test('whatever is said, as message or field, makes one line that Velero can read', () => {
  const said = fc.record({
    level: fc.constantFrom(...LEVELS),
    message: strange,
    fields: fc.dictionary(name, strange, { maxKeys: 12 }),
    source: fc.oneof(anyString, fc.constant('s'.repeat(MiB))),
    nowMs: fc.integer({ min: 0, max: 4e12 }),
  })
  fc.assert(
    fc.property(said, (one) => {
      const line = logLine(one)
      assert.not.match(line, /\n/)
      assert.is(readLogLine(line)['@level'], one.level)
    }),
    {
      numRuns: 300,
      // fast-check's own report would contain the whole text, of up to 100 KiB.
      reporter: ({ failed, errorInstance, seed, counterexamplePath }) => {
        if (failed) throw new Error(`${String(errorInstance).slice(0, 500)} (seed ${seed}, path ${counterexamplePath})`)
      },
    },
  )
})

test('the level is honoured, and a line knows the place that said it and the plugin', () => {
  const lines: string[] = []
  const log = createLog('warn', (line) => void lines.push(line))
  const { info, warn } = log.forPlugin('dormouse.dev/one')
  info('no')
  warn('yes', { plugin: 'another' })
  assert.is(lines.length, 1)
  const { logSource, plugin } = readLogLine(lines[0] ?? '')
  assert.match(logSource ?? '', /host-log\.test\.ts:\d+$/)
  assert.is(plugin, 'dormouse.dev/one')
})

let folder = ''
let plugin: Plugin
test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'plugin-'))
  plugin = await startPlugin({ env: { TMPDIR: folder } })
})
test.after(() => {
  killLeftPlugins()
  rmSync(folder, { recursive: true, force: true })
})

const execute = (fields: object) => executeIn(plugin, fields)

async function executeIn(one: Plugin, fields: object): Promise<void> {
  const item = JSON.stringify({ kind: 'Pod', metadata: { name: 'p' }, ...fields })
  await one.call('/v2.BackupItemAction/Execute', {
    plugin: 'dormouse.dev/tiny-backup',
    item,
    backup: BACKUP,
  })
}

test('on the real pipe: many long lines of calls side by side never mix', async () => {
  const messages = HUGE.map(([, text], index) => `${index} ${text}`)
  await Promise.all([...messages, ...messages].map((message) => execute({ do: 'log', message, fields: { message } })))
  await execute({ do: 'warn', message: 'last' })
  await plugin.line((line) => line['@message'] === 'last')
  const begins = plugin.log().map((line) => line['@message']?.slice(0, 2))
  for (const index of HUGE.keys()) assert.is(begins.filter((begin) => begin === `${index} `).length, 2)
})

test('a full pipe that does not block loses no line, and no part of one', async () => {
  const slow = await startPlugin({ env: { TMPDIR: folder, TINY_PLUGIN: 'non-blocking' } })
  await executeIn(slow, {}) // connected first, so that the following calls arrive at once
  slow.child.stderr?.pause()
  const said = Array.from({ length: 30 }, (_, index) => `${index} ${'x'.repeat(30_000)}`)
  const more = 'y'.repeat(27_000) // makes the plugin write a line in several parts
  let answered = 0
  const calls = said.map((message) => executeIn(slow, { do: 'log', message, fields: { more } }).then(() => answered++))
  await sleep(1000)
  assert.ok(answered < said.length, 'the pipe took all')
  slow.child.stderr?.resume()
  await Promise.all(calls)
  await slow.shutdown()
  const messages = slow.log().map((line) => line['@message'])
  assert.equal(messages.slice(1).toSorted(), said.toSorted())
})

test('on the real pipe: values that cannot be written are told apart from those that can', async () => {
  await execute({ do: 'strange-fields' })
  const line = await plugin.line((each) => 'circular' in each)
  assert.equal(
    [line['circular'], line['noJson'], line['noText'], line['number'], line['nothing'], line['big'], line['symbol']],
    ['(cannot be written)', '(cannot be written)', '(cannot be written)', '5', 'undefined', '5', 'Symbol(s)'],
  )
  assert.equal([line['list'], line['@message']], ['[1]', '{"a":1}'])
  assert.match(line['logSource'] ?? '', /tiny-plugin\.ts:\d+$/)
})

test.run()
