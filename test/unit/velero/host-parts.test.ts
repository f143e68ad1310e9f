// The host's decisions, one by one: limits, levels, folders, names, frames, and what an error of progress means.

import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ConflictError, CorruptionError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { parseGoDuration } from '#shared/kernel/go-duration.ts'
import type { ItemAction } from '../../../velero/actions.ts'
import { resourceTimeoutMs } from '../../../velero/domain/times.ts'
import { leastLevel } from '../../../velero/host/arguments.ts'
import { decode, encode } from '../../../velero/host/codec.ts'
import { portRange, socketFolders } from '../../../velero/host/listen.ts'
import { progressOfError, wireProgress } from '../../../velero/host/progress.ts'
import { Registry } from '../../../velero/host/registry.ts'
import { callerOf, framesOf } from '../../../velero/host/stack.ts'
import { callLimitMs, within } from '../../../velero/host/time-limit.ts'

const test = suite('parts of the Velero host')

const DURATIONS: [text: string, ms: number | undefined][] = [
  ['10m0s', 600_000],
  ['1h30m', 5_400_000],
  ['1.5s', 1500],
  ['.5m', 30_000],
  ['100ms', 100],
  ['1µs', 0.001],
  ['2m1ns', 120_000.000001],
  ['0s', undefined],
  ['', undefined],
  ['10', undefined],
  ['-5m', undefined],
  ['5m later', undefined],
  ['5 m', undefined],
]
for (const [text, ms] of DURATIONS) {
  test(`the duration "${text}" is ${ms ?? 'none'}`, () => assert.is(parseGoDuration(text), ms))
}

const runWith = (annotations: unknown) =>
  ({ apiVersion: '', kind: 'Backup', metadata: { name: 'b', annotations } }) as never

test('a call has two minutes more than what an action waits for; without an annotation that makes sense that is ten minutes', () => {
  assert.is(callLimitMs(runWith({ 'velero.io/resource-timeout': '20m0s' })), 1_320_000)
  for (const annotations of [
    undefined,
    null,
    {},
    { 'velero.io/resource-timeout': 'soon' },
    { 'velero.io/resource-timeout': 5 },
  ]) {
    assert.is(callLimitMs(runWith(annotations)), 720_000, JSON.stringify(annotations))
  }
  assert.is(callLimitMs({ kind: 'Backup' } as never), 720_000)
  assert.is(callLimitMs(runWith({ 'velero.io/resource-timeout': '9999h' })), 2 ** 31 - 1, 'what a timer can hold')
})

test('a call outlasts what its action waits for by itself, however long that is', () => {
  for (const text of [undefined, '1ms', '10s', '1m', '10m0s', '4h']) {
    const run = runWith({ 'velero.io/resource-timeout': text })
    assert.ok(callLimitMs(run) > resourceTimeoutMs(run), text)
  }
})

test('work that ends in time gives its value or its own error', async () => {
  assert.is(await within(1000, 'x', async () => 5), 5)
  const error = await within(1000, 'x', () => Promise.reject(new Error('own'))).catch((thrown: Error) => thrown.message)
  assert.is(error, 'own')
})

const THROWN: [what: string, thrown: unknown, completed: boolean, words: string][] = [
  ['a RetryableError', new RetryableError('ApiUnavailable', 'away'), false, 'ApiUnavailable: away'],
  ['a ConflictError', new ConflictError('Changed', 'someone'), false, 'Changed: someone'],
  ['a TerminalError', new TerminalError('UploadNotFound', 'gone'), true, 'UploadNotFound: gone'],
  ['a CorruptionError', new CorruptionError('ChunkDamaged', 'bytes'), true, 'ChunkDamaged: bytes'],
  ['a bug', new TypeError('x is undefined'), false, 'x is undefined'],
  ['what is no error', 'words', false, 'thrown value: words'],
]
for (const [what, thrown, completed, words] of THROWN) {
  test(`${what} from progress ${completed ? 'ends the operation' : 'is passing trouble'}`, () => {
    const progress = progressOfError(thrown)
    assert.is(progress.completed, completed)
    assert.is(progress.error, completed ? words : '')
    assert.ok(completed ? progress.description === '' : progress.description.endsWith(words))
  })
}

test('numbers that are none are zero, and times are kept to the millisecond', () => {
  const base = { completed: false, error: '', operationUnits: '', description: '' }
  const odd = { ...base, nCompleted: Number.NaN, nTotal: 2.9, startedMs: Number.NaN, updatedMs: -1 }
  const { nCompleted, nTotal, started, updated } = wireProgress(odd)
  assert.equal([nCompleted, nTotal], [0, 2])
  assert.equal(started, { seconds: -62_135_596_800, nanos: 0 })
  assert.equal(updated, { seconds: -1, nanos: 999_000_000 })
})

test('half a character in a progress goes over the wire as one that Go can read', () => {
  const half = 'away \ud83d'
  const base = { completed: false, operationUnits: 'bytes', nCompleted: 0, nTotal: 0 }
  const progress = { ...base, error: half, description: half, startedMs: undefined, updatedMs: undefined }
  const bytes = encode('generated.OperationProgress', wireProgress(progress))
  const { err, description } = decode('generated.OperationProgress', bytes)
  assert.equal([err, description], ['away \ufffd', 'away \ufffd'])
  // Go's decoder refuses the whole message unless it is UTF-8.
  assert.ok(bytes.includes(Buffer.from(err)) && !bytes.includes(Buffer.from([0xed, 0xa0])))
})

test('a message survives the wire with any whole number', () => {
  const times = fc.record({ seconds: fc.maxSafeInteger(), nanos: fc.integer() }, { noNullPrototype: true })
  fc.assert(
    fc.property(times, (time) => {
      const name = 'google.protobuf.Timestamp'
      assert.equal({ ...decode(name, encode(name, time)) }, time)
    }),
  )
})

const LEVELS: [args: string[], level: string][] = [
  [[], 'info'],
  [['--log-level=debug'], 'debug'],
  [['--log-level', 'warning'], 'warn'],
  [['--log-level=TRACE'], 'trace'],
  [['--log-level=panic'], 'error'],
  [['--log-level=debug', '--log-level=error'], 'error'],
  [['--log-level'], 'info'],
  [['--log-level=nonsense'], 'info'],
  [['--log-level-of-others=debug', '--features='], 'info'],
]
for (const [args, level] of LEVELS) {
  test(`of [${args}] the level is ${level}`, () => assert.is(leastLevel(args), level))
}

test('sockets go to TMPDIR, /tmp, then the scratch volume of a pod with a read-only root', () => {
  assert.equal(socketFolders({}), ['/tmp', '/tmp', '/scratch'])
  assert.equal(socketFolders({ TMPDIR: '/t', VELERO_SCRATCH_DIR: '/s' }), ['/t', '/tmp', '/s'])
  assert.equal(socketFolders({ TMPDIR: '/t', PLUGIN_UNIX_SOCKET_DIR: '/u' }), ['/u'])
})

test('ports that are none are those of Velero', () => {
  assert.equal(portRange({}), [10_000, 25_000])
  assert.equal(portRange({ PLUGIN_MIN_PORT: '7', PLUGIN_MAX_PORT: '9' }), [7, 9])
  assert.equal(portRange({ PLUGIN_MIN_PORT: 'x', PLUGIN_MAX_PORT: '70000' }), [10_000, 25_000])
})

const action = (name: string, kind: ItemAction['kind'] = 'DeleteItemAction') => ({ kind, name }) as ItemAction

test('a name is a DNS subdomain, one slash and something, and stands once for its kind', () => {
  for (const name of ['velero.io/vsphere-pvc-deleter', 'a/b', 'a-1.b/C d']) new Registry([action(name)])
  for (const name of ['', 'a', '/b', 'a/', 'a/b/c', 'A/b', '-a/b', 'a./b', 'a..b/c', `${'a'.repeat(254)}/b`]) {
    assert.throws(() => new Registry([action(name)]), /is no <dns-subdomain>/, name)
  }
  new Registry([action('a/b'), action('a/b', 'BackupItemActionV2')])
  assert.throws(() => new Registry([action('a/b'), action('a/b')]), /DeleteItemAction "a\/b" is there twice/)
})

test('frames are read from stacks of modules, scripts and async functions; those of Node are left out', () => {
  const stack = [
    'Error: at /not/a:1:2 frame',
    '    at JSON.parse (<anonymous>)',
    '    at readFileSync (node:fs:440:20)',
    '    at Upload.start [as begin] (file:///plugins/a%20b.mjs:10:5)',
    '    at async Promise.all (index 0)',
    '    at async run (/plugins/dormouse:200:7)',
    '    at file:///plugins/top.ts:3:1',
    '    at decide (velero-plugin.cjs:7:9)',
    '    at embedderRunCjs (node:internal/main/embedding:97:10)',
  ].join('\n')
  assert.equal(framesOf({ stack, message: 'at /not/a:1:2 frame' }), [
    { file: '/plugins/a b.mjs', line: 10, function: 'Upload.start [as begin]' },
    { file: '/plugins/dormouse', line: 200, function: 'run' },
    { file: '/plugins/top.ts', line: 3, function: '(module)' },
    { file: 'velero-plugin.cjs', line: 7, function: 'decide' },
  ])
  assert.equal(framesOf({}), [])
})

test('a caller is the place that called, not the callee', () => {
  const said = () => callerOf(said)
  assert.match(said(), /host-parts\.test\.ts:\d+$/)
})

test.run()
