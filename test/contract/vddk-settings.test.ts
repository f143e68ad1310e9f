// The parts of the VDDK adapter that need no library: settings, transports, error codes, the lock.

import { Worker } from 'node:worker_threads'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { type ConfigMapLike, renderVddkConfig, transportModes } from '#shared/providers/vddk/config.ts'
import { codeOf, vddkError } from '#shared/providers/vddk/errors.ts'
import { createVddkLock, VddkLock } from '#shared/providers/vddk/lock.ts'
import { MEANINGS } from '#shared/providers/vddk/meanings.ts'

function configMap(name: string, data: Record<string, string>, value = 'vix-disk-lib'): ConfigMapLike {
  return { metadata: { name, labels: { 'velero.io/vddk-config': value } }, data }
}

function throwsTerminal(work: () => unknown, reason: string, words: RegExp): void {
  assert.throws(work, (error: unknown) => {
    assert.instance(error, TerminalError)
    return (error as TerminalError).reason === reason && words.test((error as TerminalError).message)
  })
}

const settings = suite('VDDK settings')

settings('without a ConfigMap the documented defaults are used', () => {
  assert.equal(
    renderVddkConfig([configMap('other', { a: 'b' }, 'else'), {}], '/var/tmp/vddk')
      .trimEnd()
      .split('\n'),
    [
      'vixDiskLib.nfc.LogLevel=1',
      'vixDiskLib.transport.LogLevel=3',
      'vixDiskLib.nfcAio.Session.BufSizeIn64KB=16',
      'vixDiskLib.nfcAio.Session.BufCount=4',
      'tmpDirectory=/var/tmp/vddk',
    ],
  )
})

settings("a ConfigMap's settings win, all but the directory", () => {
  const mine = configMap('mine', {
    'vixDiskLib.nfc.LogLevel': '4',
    'vixDiskLib.nfc.ReadTimeoutMs': ' 60000\n',
    tmpDirectory: '/x',
  })
  const lines = renderVddkConfig([mine], '/var/tmp/vddk').split('\n')
  for (const line of [
    'vixDiskLib.nfc.LogLevel=4',
    'vixDiskLib.nfc.ReadTimeoutMs=60000',
    'tmpDirectory=/var/tmp/vddk',
  ]) {
    assert.ok(lines.includes(line), line)
  }
})

settings('two labelled ConfigMaps are an error that names both', () => {
  const maps = [configMap('b', {}), configMap('a', {})]
  throwsTerminal(() => renderVddkConfig(maps, '/t'), 'VddkConfigAmbiguous', /: a, b; keep one/)
})

const BAD: [data: Record<string, string>, words: RegExp][] = [
  [{ 'vixDiskLib.nfc.LogLevel': '5' }, /mine.*vixDiskLib.nfc.LogLevel=5: 0 to 4/],
  [{ 'vixDiskLib.transport.LogLevel': '7' }, /0 to 6/],
  [{ 'vixDiskLib.transport.LogLevel': 'debug' }, /0 to 6/],
  [{ 'not a name': '1' }, /not a name of a VDDK setting/],
  [{ 'a=b': '1' }, /not a name/],
  [{ a: '' }, /one line and not empty/],
  [{ a: '1\nb=2' }, /one line/],
  [{ 'vixDiskLib.nfcAio.Session.BufCount': '17' }, /16 x 64 KiB x 17/],
  [{ 'vixDiskLib.nfcAio.Session.BufSizeIn64KB': '0' }, /0 x 64 KiB x 4/],
  [{ 'vixDiskLib.nfcAio.Session.BufSizeIn64KB': '1.5' }, /1\.5 x 64 KiB/],
]
for (const [data, words] of BAD) {
  settings(`refuses ${JSON.stringify(data)}`, () => {
    throwsTerminal(() => renderVddkConfig([configMap('mine', data)], '/t'), 'VddkConfigInvalid', words)
  })
}

settings('the largest AIO buffers that VDDK takes are taken', () => {
  assert.match(
    renderVddkConfig([configMap('mine', { 'vixDiskLib.nfcAio.Session.BufCount': '16' })], '/t'),
    'BufCount=16',
  )
})

settings('transports are a colon list of known names', () => {
  assert.is(transportModes(undefined), 'nbdssl:nbd')
  assert.is(transportModes(' '), 'nbdssl:nbd')
  assert.is(transportModes('san:hotadd:nbdssl:nbd:file'), 'san:hotadd:nbdssl:nbd:file')
  for (const bad of ['nbd:', 'NBD', 'nbd,nbdssl', 'nbd:nbd', 'tcp']) {
    throwsTerminal(() => transportModes(bad), 'VddkConfigInvalid', /DORMOUSE_VDDK_TRANSPORT=/)
  }
})

settings.run()

const errors = suite('VDDK error codes')

errors('the code is the low 16 bits, whatever is above and whichever number form it has', () => {
  assert.is(codeOf(14009), 14009)
  assert.is(codeOf(0x0a11_0000 + 14010), 14010)
  assert.is(codeOf((0x80c1n << 48n) | 35n), 35)
})

errors('each code that is known (docs/development/vddk.md) has words and a fix, and reasons that start alike', () => {
  const codes = [
    1, 2, 3, 4, 5, 6, 13, 15, 20, 24, 25, 26, 35, 36, 3014, 4000, 13003, 14008, 14009, 14010, 14011, 14014, 14015,
  ]
  codes.push(16000, 16001, 16007, 16053, 16054, 16064, 18000, 20005, 26000, 30006, 30007, 30028, 30035, 30201)
  assert.equal(Object.keys(MEANINGS).map(Number), codes)
  for (const { reason, text, fix } of Object.values(MEANINGS)) {
    assert.match(reason, /^Vddk[A-Z][A-Za-z]+$/)
    assert.ok(text.length > 5 && fix.length > 5)
  }
})

const REACTIONS: [code: number, call: string, terminal: boolean, reason: string][] = [
  [35, 'ConnectEx', true, 'VddkAuthenticationFailed'],
  [3014, 'PrepareForAccess', true, 'VddkPermissionDenied'],
  [14009, 'Open', false, 'VddkHostUnreachable'],
  [36, 'Read', false, 'VddkConnectionLost'],
  [2, 'Open', false, 'VddkHostMemory'],
  [1, 'Open', false, 'VddkOpenFailed'],
  [1, 'Read', false, 'VddkFailure'],
  [30042, 'ConnectEx', false, 'VddkCannotConnect'],
  [777, 'Read', false, 'VddkFailure'],
]
for (const [code, call, terminal, reason] of REACTIONS) {
  errors(`${code} from ${call} is ${reason}`, () => {
    const error = vddkError(call, code, 'disk a', 'their words')
    assert.instance(error, terminal ? TerminalError : RetryableError)
    assert.is(error.reason, reason)
    assert.match(error.message, new RegExp(`^${call} disk a: .* \\(VDDK code ${code}: their words\\); `))
  })
}

errors.run()

const lock = suite('VDDK lock')

lock('gives back what the work gives, and is free again after a failure', () => {
  const mutex = new VddkLock(createVddkLock(), 10)
  const fail = (): never => {
    throw new Error('work')
  }
  assert.throws(() => mutex.run(fail), 'work')
  assert.is(
    mutex.run(() => 7),
    7,
  )
})

lock('a thread that waits too long reports it', () => {
  const shared = createVddkLock()
  const waiter = new VddkLock(shared, 10)
  new VddkLock(shared).run(() => {
    assert.throws(
      () => waiter.run(() => 0),
      (error: RetryableError) => error.reason === 'VddkStuck',
    )
  })
  assert.is(
    waiter.run(() => 1),
    1,
  )
})

lock('threads take turns', async () => {
  const shared = createVddkLock()
  const counter = new SharedArrayBuffer(8)
  const source = `
    import { workerData } from 'node:worker_threads'
    const { VddkLock } = await import(workerData.module)
    const lock = new VddkLock(workerData.shared)
    const words = new Int32Array(workerData.counter)
    for (let i = 0; i < 20000; i++) lock.run(() => { const before = words[0]; words[1] += 1; words[0] = before + 1 })`
  const module = new URL('../../shared/providers/vddk/lock.ts', import.meta.url).href
  const done = [1, 2, 3].map(async () => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`)
    new Worker(url, { workerData: { shared, counter, module } }).once('error', reject).once('exit', () => resolve())
    await promise
  })
  await Promise.all(done)
  assert.equal([...new Int32Array(counter)], [60000, 60000])
})

lock('knows the first and the last connection of each disk', () => {
  const mutex = new VddkLock(createVddkLock())
  const seen = mutex.run(() => [
    mutex.enter('a'),
    mutex.enter('b'),
    mutex.enter('a'),
    mutex.leave('a'),
    mutex.leave('b'),
    mutex.leave('a'),
    mutex.enter('a'),
  ])
  assert.equal(seen, [true, true, false, false, true, true, true])
})

lock('more disks than it has room for are refused, not mixed up', () => {
  const mutex = new VddkLock(createVddkLock())
  for (let i = 0; i < 256; i++) assert.is(mutex.enter(`disk-${i}`), true)
  assert.throws(
    () => mutex.enter('one more'),
    (error: RetryableError) => error.reason === 'VddkHostMemory',
  )
  assert.is(mutex.leave('disk-17'), true)
  assert.is(mutex.enter('one more'), true)
})

lock.run()
