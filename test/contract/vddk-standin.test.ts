// Proves that the VDDK stand-in enforces the documented rules: a C program breaks each of them on purpose.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB, SECTOR_BYTES } from '#shared/kernel/units.ts'
import { DATASTORE, DiskFolder } from '#test/standins/vddk/harness.ts'

const scratch = mkdtempSync(join(tmpdir(), 'dormouse-vddk-rules-'))
let folders = 0

type Played = { out: string; err: string; signal: NodeJS.Signals | null; folder: DiskFolder }

/** One disk of 8 MiB with data in its second and its last MiB; the probe calls it disk-1. */
function newFolder(): DiskFolder {
  folders += 1
  const folder = new DiskFolder(join(scratch, String(folders)))
  folder.addDisk('disk-1', 8 * MiB, [
    { offsetBytes: MiB, bytes: new Uint8Array(64 * 1024).fill(1) },
    { offsetBytes: 8 * MiB - 4096, bytes: new Uint8Array(4096).fill(2) },
  ])
  return folder
}

function play(scenario: string, env: Record<string, string> = {}, faults: string[] = []): Played {
  const folder = newFolder()
  folder.start(faults)
  const { FAKE_VDDK_ROOT, FAKE_VDDK_TRACE, FAKE_VDDK_FAULTS } = folder.environment()
  const { status, signal, stdout, stderr } = spawnSync(join(scratch, 'probe'), [scenario], {
    encoding: 'utf8',
    env: { FAKE_VDDK_ROOT, FAKE_VDDK_TRACE, FAKE_VDDK_FAULTS, LD_LIBRARY_PATH: join(scratch, 'lib64'), ...env },
    timeout: 20_000,
  })
  assert.ok(status === 0 || signal === 'SIGABRT', `${scenario}: ${status} ${signal} ${stderr}`)
  return { out: stdout, err: stderr, signal, folder }
}

const standIn = suite('VDDK stand-in')
const build = ['test/standins/vddk/build.sh', scratch, 'probe']
standIn.before(() => void execFileSync('sh', build, { stdio: ['ignore', 'inherit', 'inherit'] }))
standIn.after(() => rmSync(scratch, { recursive: true }))

const BROKEN: [scenario: string, words: string, env?: Record<string, string>, faults?: string[]][] = [
  ['null log', 'NULL log function'],
  ['init twice', 'InitEx twice'],
  ['init in a thread', 'not the main thread'],
  ['thread before init', 'created before InitEx'],
  ['fork after init', 'fork after InitEx'],
  ['open overlap', 'another thread is in Connect, Open', { FAKE_VDDK_LATENCY_US: '100000' }],
  ['read overlap', 'another thread is in disk 1', { FAKE_VDDK_LATENCY_US: '100000' }],
  ['use after close', 'Read: disk 1 was closed'],
  ['close twice', 'Close: disk 1 was closed'],
  ['disconnect open', 'Disconnect with 1 open disks'],
  ['exit open', 'Exit with 1 open disks and 1 connections'],
  ['use after exit', 'ConnectEx after Exit'],
  ['end access connected', 'still connected'],
  ['free twice', 'freed twice'],
  ['free wrongly', 'wrong Free function'],
  ['close in flight', 'transfers under way', { FAKE_VDDK_MBPS: '1' }],
  ['all well', 'no call number', {}, ['Open first 1']],
  ['all well', "cannot read 'Opne 1 1'", {}, ['Opne 1 1']],
  ['all well', 'is no whole number', { FAKE_VDDK_MAX_HANDLES: 'many' }],
]
for (const [scenario, words, env, faults] of BROKEN) {
  standIn(`ends the process: ${scenario}, ${words}`, () => {
    const { signal, err, folder } = play(scenario, env, faults)
    assert.is(signal, 'SIGABRT')
    assert.match(err, `rule broken: `)
    assert.match(err, words)
    assert.match(readFileSync(folder.tracePath, 'utf8'), words)
  })
}

const CODES: [scenario: string, lines: string[], env?: Record<string, string>, faults?: string[]][] = [
  ['before init', ['connect=16001']],
  ['all well', ['init=0', 'connect=0', 'open=0', 'info=0', `capacity=${(8 * MiB) / SECTOR_BYTES}`]],
  [
    'transfers',
    [
      'read=0',
      'read none=3',
      'read too much=3',
      'read past the end=16007',
      'read behind the end=16007',
      'read to nowhere=3',
      'write read-only=13',
    ],
  ],
  [
    'opens',
    [
      'with a path=3',
      'with unknown flags=3',
      'for writing while it is read=15',
      'for reading while it is read=0',
      'one more than allowed=2',
      'connect with an empty snapshot id=3',
      'connect to a snapshot=0',
      'a snapshot for writing=2',
      'a snapshot that is not there=2',
      'connect by SAN only=13',
    ],
    { FAKE_VDDK_MAX_HANDLES: '2' },
  ],
  ['opens', ['a snapshot for writing=13', 'a snapshot that is not there=13003']],
  ['prepares', ['prepare=0', 'prepare again=20005', 'end by another=3', 'end=0', 'prepare anew=0']],
  [
    'queries',
    [
      'all=0 2048+128 16256+128',
      'in large chunks=0 2048+2048 14336+2048',
      'a part=0 2048+128',
      'chunk too small=3',
      'chunk too large=3',
      'half a chunk=3',
      'start inside a chunk=3',
      'past the end=16007',
    ],
  ],
  ['async', ['submit=25000', 'wait=0', 'finished=8 in order=0 first byte=0', 'sync after async=26000', 'close=0']],
  ['async after sync', ['read=0', 'async after sync=26000']],
  ['opens', ['open=1'], { FAKE_VDDK_THUMBPRINT: 'BB' }],
  ['opens', ['connect=35'], { FAKE_VDDK_PASSWORD: 'other' }],
  ['opens', ['connect=35'], { FAKE_VDDK_USER: 'other' }],
  ['opens', ['connect=18000'], { FAKE_VDDK_SERVER: 'other' }],
  ['opens', ['connect=18000'], { FAKE_VDDK_PORT: '8443' }],
  ['all well', ['open=14009'], {}, ['Open 1 14009']],
]
for (const [scenario, lines, env, faults] of CODES) {
  standIn(`answers ${lines.at(-1)} with ${JSON.stringify(env ?? {})}: ${scenario}`, () => {
    const { out } = play(scenario, env, faults)
    for (const line of lines) assert.ok(out.split('\n').includes(line), `no "${line}" in\n${out}`)
  })
}

standIn('reads the fault plan again at every call and counts anew, and can crash', () => {
  const { out, signal, err } = play('faults')
  assert.match(out, 'read=0\nread=14011\nread=0\nflush=36 noise=1\nread under a new plan=36\n')
  assert.is(signal, 'SIGABRT')
  assert.not.match(err, 'rule broken')
})

standIn('waits for its latency and its line speed', () => {
  const startMs = performance.now()
  play('transfers', { FAKE_VDDK_MBPS: '10' }) // one read of 1 MiB gets through
  const tookMs = performance.now() - startMs
  assert.ok(tookMs > 100, `${tookMs} ms`)
})

standIn('accounts for every call', () => {
  const { folder } = play('all well')
  assert.equal(
    folder.trace().map(({ call, code }) => `${call} ${code}`),
    ['InitEx 0', 'ConnectEx 0', 'Open 0', 'GetInfo 0', 'Close 0', 'Disconnect 0', 'leaks NaN', 'Exit 0'],
  )
  assert.ok(folder.trace().some(({ text }) => text === 'leaks params=0 info=0 blocks=0 text=0'))
  assert.is(folder.hasMark('disk-1'), false, DATASTORE)
})

standIn('marks a disk in one step: a process that is killed meanwhile leaves a whole mark or none', () => {
  const folder = newFolder()
  const env = { FAKE_VDDK_ROOT: folder.root, LD_LIBRARY_PATH: join(scratch, 'lib64') }
  const left = new Set<string | undefined>()
  for (let i = 0; i < 100; i++) {
    const { signal } = spawnSync(join(scratch, 'probe'), ['prepares for ever'], {
      env,
      timeout: 5 + (i % 10),
      killSignal: 'SIGKILL',
    })
    assert.is(signal, 'SIGKILL')
    left.add(folder.markOf('disk-1'))
  }
  left.delete(undefined)
  assert.equal([...left], ['a'])
})

standIn.run()
