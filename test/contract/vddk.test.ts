// The VDDK adapter against the stand-in library, in child processes and worker threads as Dormouse uses it.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { GiB, MiB } from '#shared/kernel/units.ts'
import { renderVddkConfig } from '#shared/providers/vddk/config.ts'
import { vddkEnvironment } from '#shared/providers/vddk/library.ts'
import type { ChildPlan, ChildReport } from '#test/standins/vddk/child.ts'
import {
  buildVddkStandIn,
  type ChildResult,
  CONNECTION,
  DiskFolder,
  pattern,
  runChild,
  sha256,
} from '#test/standins/vddk/harness.ts'
import type { Step, StepResult } from '#test/standins/vddk/worker.ts'

const scratch = mkdtempSync(join(tmpdir(), 'dormouse-vddk-'))
const folder = new DiskFolder(join(scratch, 'disks'))

/** 8 MiB and one and a half: data at the start, in the fourth MiB, and up to the last byte. */
const CAPACITY = 8 * MiB + MiB / 2
const HEAD = pattern(1_500_160, 1)
const MIDDLE = pattern(64 * 1024, 2)
const TAIL = pattern(100 * 512, 3)
const CONTENT = Buffer.alloc(CAPACITY)
CONTENT.set(HEAD, 0)
CONTENT.set(MIDDLE, 3 * MiB)
CONTENT.set(TAIL, CAPACITY - TAIL.length)
const PARTS = [
  { offsetBytes: 0, bytes: HEAD },
  { offsetBytes: 3 * MiB, bytes: MIDDLE },
  { offsetBytes: CAPACITY - TAIL.length, bytes: TAIL },
]

type Extra = { env?: Record<string, string>; faults?: string[] }

async function run(plan: ChildPlan, { env, faults }: Extra = {}): Promise<ChildResult> {
  folder.start(faults ?? [])
  // Without a compile cache, a child would spend most of its time compiling the same files.
  const base = { NODE_COMPILE_CACHE: join(scratch, 'compiled'), ...folder.environment(), ...env }
  const result = await runChild(plan, vddkEnvironment(scratch, base))
  assert.not.ok(JSON.stringify(result).includes(CONNECTION.password), 'the password shows')
  return result
}

function survived({ report, stderr, signal }: ChildResult): ChildReport {
  if (report === undefined) throw new Error(`the child died of ${signal}: ${stderr}`)
  if (report.failure !== undefined) throw new Error(`${report.failure.message}\n${stderr}`)
  return report
}

/** One worker whose steps all run in a child. The child has to end in order, with nothing open and nothing leaked. */
async function steps(list: Step[], extra: Extra = {}): Promise<StepResult[]> {
  const { workers } = survived(await run({ workers: [list] }, extra))
  assert.is(folder.trace().at(-2)?.text, 'leaks params=0 info=0 blocks=0 text=0')
  assert.is(folder.trace().at(-1)?.call, 'Exit')
  return workers[0] ?? []
}

function calls(...names: string[]): string[] {
  return folder.trace().flatMap(({ call, code }) => (names.includes(call) ? [`${call} ${code}`] : []))
}

const open = { do: 'open', fcdId: 'disk-1' } as const
const openSnapshot = { ...open, snapshotId: 'snap-1' } as const
const close = { do: 'close' } as const

const vddk = suite('VDDK adapter')
vddk.before(() => {
  buildVddkStandIn(scratch)
})
vddk.before.each(() => {
  folder.addDisk('disk-1', CAPACITY, PARTS)
  folder.addDisk('disk-2', CAPACITY)
  folder.addSnapshot('disk-1', 'snap-1', PARTS)
})
vddk.after(() => rmSync(scratch, { recursive: true }))

vddk('reads what the disk holds, zeros included, up to its last byte', async () => {
  const results = await steps([
    openSnapshot,
    { do: 'read', offset: 0, length: CAPACITY },
    { do: 'read', offset: 3 * MiB - 512, length: 1024 },
    { do: 'read', offset: CAPACITY - 512, length: 512 },
    { do: 'read', offset: CAPACITY, length: 0 },
    close,
  ])
  assert.equal([results[0]?.capacityBytes, results[0]?.transport], [CAPACITY, 'nbdssl'])
  assert.is(results[1]?.sha256, sha256(CONTENT))
  assert.is(results[2]?.sha256, sha256(CONTENT.subarray(3 * MiB - 512, 3 * MiB + 512)))
  assert.is(results[3]?.sha256, sha256(CONTENT.subarray(-512)))
  const reads = folder.trace().filter(({ call }) => call === 'Read')
  assert.is(Math.max(...reads.map(({ bytes }) => bytes)), MiB)
  assert.is(reads.length, 9 + 1 + 1)
})

vddk('reads a fresh disk, whose data file is empty, as zeros', async () => {
  const [, read] = await steps([{ do: 'open', fcdId: 'disk-2' }, { do: 'read', offset: 0, length: CAPACITY }, close])
  assert.is(read?.sha256, sha256(Buffer.alloc(CAPACITY)))
})

vddk('several workers read one snapshot at the same time, and the disk is prepared and ended once', async () => {
  const each: Step[] = [openSnapshot, { do: 'meet' }, { do: 'read', offset: 0, length: CAPACITY }, close]
  const { workers } = survived(await run({ workers: [each, each, each] }, { env: { FAKE_VDDK_LATENCY_US: '2000' } }))
  for (const results of workers) assert.is(results[2]?.sha256, sha256(CONTENT))
  assert.is(new Set(folder.trace().flatMap(({ call, tid }) => (call === 'Read' ? [tid] : []))).size, 3)
  assert.equal(calls('PrepareForAccess', 'EndAccess'), ['PrepareForAccess 0', 'EndAccess 0'])
  assert.is(folder.hasMark('disk-1'), false)
})

vddk('what was written and flushed is in the file and reads back', async () => {
  const results = await steps([
    { ...open, writable: true },
    { do: 'write', offset: MiB - 512, length: 2 * MiB + 1024, fill: 7 },
    { do: 'write', offset: CAPACITY - 512, length: 512, fill: 9 },
    { do: 'flush' },
    { do: 'read', offset: 0, length: CAPACITY },
    close,
  ])
  const wanted = Buffer.from(CONTENT)
    .fill(7, MiB - 512, 3 * MiB + 512)
    .fill(9, CAPACITY - 512)
  assert.is(results[4]?.sha256, sha256(wanted))
  assert.ok(readFileSync(folder.dataPath('disk-1')).equals(wanted))
  assert.equal(calls('Write', 'Flush', 'Close'), ['Write 0', 'Write 0', 'Write 0', 'Write 0', 'Flush 0', 'Close 0'])
})

vddk('tells allocated areas by the MiB, clipped to what was asked; the part of a MiB at the end counts', async () => {
  const results = await steps([
    openSnapshot,
    { do: 'allocated', offset: 0, length: CAPACITY },
    { do: 'allocated', offset: MiB + 512, length: 2 * MiB + 512 },
    { do: 'allocated', offset: 4 * MiB, length: 4 * MiB },
    { do: 'allocated', offset: 8 * MiB + 512, length: 1024 },
    { do: 'allocated', offset: 3 * MiB + 512, length: 0 },
    close,
  ])
  assert.equal(
    results.map(({ extents }) => extents),
    [
      undefined,
      [
        { offsetBytes: 0, lengthBytes: 2 * MiB },
        { offsetBytes: 3 * MiB, lengthBytes: MiB },
        { offsetBytes: 8 * MiB, lengthBytes: MiB / 2 },
      ],
      [
        { offsetBytes: MiB + 512, lengthBytes: MiB - 512 },
        { offsetBytes: 3 * MiB, lengthBytes: 1024 },
      ],
      [],
      [{ offsetBytes: 8 * MiB + 512, lengthBytes: 1024 }],
      [],
      undefined,
    ],
  )
  assert.equal(calls('QueryAllocatedBlocks').length, 1 + 4, 'one probe, and nothing is asked about the tail')
})

vddk('asks about a huge disk in calls of at most 524288 chunks, and joins runs at their border', async () => {
  const half = 512 * GiB
  folder.addDisk('huge', 2 * half, [{ offsetBytes: half - 512, bytes: pattern(1024, 4) }])
  const [, result] = await steps([
    { do: 'open', fcdId: 'huge' },
    { do: 'allocated', offset: 0, length: 2 * half },
    close,
  ])
  assert.equal(result?.extents, [{ offsetBytes: half - MiB, lengthBytes: 2 * MiB }])
  assert.equal(calls('QueryAllocatedBlocks').length, 1 + 2)
})

vddk(
  'a datastore that cannot tell makes allocated answer undefined, asked once; a lost connection does not',
  async () => {
    const asked: Step[] = [
      openSnapshot,
      { do: 'allocated', offset: 0, length: MiB },
      { do: 'allocated', offset: 0, length: MiB },
      close,
    ]
    const mute = await steps(asked, { faults: ['QueryAllocatedBlocks * 6'] })
    assert.equal([mute[1]?.extents, mute[2]?.extents], ['cannot tell', 'cannot tell'])
    assert.is(calls('QueryAllocatedBlocks').length, 1)

    const lost = await steps(asked, { faults: ['QueryAllocatedBlocks 1 14011'] })
    assert.is(lost[1]?.failure?.reason, 'VddkConnectionLost')
    assert.equal(lost[2]?.extents, [{ offsetBytes: 0, lengthBytes: MiB }])

    const late = await steps(asked, { faults: ['QueryAllocatedBlocks 2 1'] })
    assert.equal([late[1]?.extents, late[2]?.extents], ['cannot tell', [{ offsetBytes: 0, lengthBytes: MiB }]])
  },
)

vddk('a wrong password is terminal, a wrong thumbprint shows when the disk is opened', async () => {
  const [password, thumbprint] = await steps([
    { ...open, password: 'wrong horse' },
    { ...open, thumbprintSha1: '00:11' },
  ])
  assert.is(password?.failure?.name, 'TerminalError')
  assert.is(password?.failure?.reason, 'VddkAuthenticationFailed')
  assert.not.match(password?.failure?.message ?? '', 'horse')
  assert.is(thumbprint?.failure?.name, 'RetryableError')
  assert.is(thumbprint?.failure?.reason, 'VddkOpenFailed')
  assert.match(thumbprint?.failure?.message ?? '', "thumbprint is the vCenter certificate's SHA-1")
  assert.equal(calls('Open', 'Disconnect', 'EndAccess'), ['Open 1', 'Disconnect 0', 'EndAccess 0'])
})

vddk('a code becomes the error that its reaction asks for, and the disk goes on working', async () => {
  const read: Step = { do: 'read', offset: 2 * MiB, length: 3 * MiB }
  const results = await steps([openSnapshot, read, read, read, close], { faults: ['Read 2 14009', 'Read 3 4000'] })
  const [, refused, gone, fine] = results
  assert.is(refused?.failure?.name, 'RetryableError')
  assert.is(refused?.failure?.reason, 'VddkHostUnreachable')
  assert.is(refused?.failure?.retryAfterSeconds, 60)
  assert.match(
    refused?.failure?.message ?? '',
    'Read of 1048576 bytes at 3145728 of disk disk-1 snapshot snap-1 on datastore-59 by vcenter.example: ' +
      'this node cannot reach TCP 902 of the ESXi host (VDDK code 14009: ',
  )
  assert.equal([gone?.failure?.name, gone?.failure?.reason], ['TerminalError', 'VddkDiskNotFound'])
  assert.is(fine?.sha256, sha256(CONTENT.subarray(2 * MiB, 5 * MiB)))
})

vddk('an open that fails half-way leaves nothing behind, whatever fails', async () => {
  for (const call of ['PrepareForAccess', 'ConnectEx', 'Open', 'GetInfo']) {
    const [failed, opened] = await steps([openSnapshot, openSnapshot, close], { faults: [`${call} 1 14015`] })
    assert.equal([failed?.failure?.reason, opened?.capacityBytes], ['VddkHostUnavailable', CAPACITY], call)
    assert.is(folder.hasMark('disk-1'), false, call)
  }
})

vddk('goes on without protection from migration when the account may not ask for it', async () => {
  const [opened] = await steps([openSnapshot, close], { faults: ['PrepareForAccess * 3014', 'EndAccess * 3014'] })
  assert.is(opened?.capacityBytes, CAPACITY)
})

vddk('ends an access that a crash left behind, and leaves alone the access of another backup', async () => {
  folder.leaveMark('disk-1', 'dormouse')
  assert.is((await steps([openSnapshot, close]))[0]?.capacityBytes, CAPACITY)
  assert.equal(calls('PrepareForAccess', 'EndAccess'), [
    'PrepareForAccess 20005',
    'EndAccess 0',
    'PrepareForAccess 0',
    'EndAccess 0',
  ])

  folder.leaveMark('disk-1', 'someone else')
  const [held] = await steps([openSnapshot])
  assert.equal([held?.failure?.name, held?.failure?.reason], ['RetryableError', 'VddkOperationDisabled'])
  assert.is(folder.hasMark('disk-1'), true)
  assert.equal(calls('PrepareForAccess', 'EndAccess'), [
    'PrepareForAccess 20005',
    'EndAccess 3',
    'PrepareForAccess 20005',
  ])
  rmSync(join(folder.root, '.vddk-prepared'), { recursive: true })
})

vddk('a crash in the middle leaves a mark that the next process clears', async () => {
  const died = await run(
    { workers: [[openSnapshot, { do: 'read', offset: 0, length: MiB }]] },
    { faults: ['Read 1 crash'] },
  )
  assert.equal([died.signal, folder.hasMark('disk-1')], ['SIGABRT', true])
  assert.is((await steps([openSnapshot, close]))[0]?.capacityBytes, CAPACITY)
  assert.is(folder.hasMark('disk-1'), false)
})

const endLeft = { ...openSnapshot, do: 'end left access' } as const

vddk(
  'an access that a crash left behind is ended without opening the disk, and a second time without an error',
  async () => {
    folder.leaveMark('disk-1', 'dormouse')
    const results = await steps([endLeft, endLeft])
    assert.equal(results, [{}, {}])
    assert.is(folder.hasMark('disk-1'), false)
    assert.equal(calls('PrepareForAccess', 'EndAccess', 'ConnectEx'), ['EndAccess 0', 'EndAccess 0'])
  },
)

vddk('the access of a disk that this process has open ends only with the last handle', async () => {
  const [, ended] = await steps([openSnapshot, endLeft, close])
  assert.is(ended?.failure, undefined)
  assert.equal(calls('PrepareForAccess', 'EndAccess'), ['PrepareForAccess 0', 'EndAccess 0'])
})

vddk(
  'the access of another backup is not ended; an account that may not ask for protection has nothing to end',
  async () => {
    folder.leaveMark('disk-1', 'someone else')
    const [held] = await steps([endLeft])
    assert.is(held?.failure?.name, 'TerminalError')
    assert.is(folder.markOf('disk-1'), 'someone else')
    rmSync(join(folder.root, '.vddk-prepared'), { recursive: true })
    const [refused] = await steps([endLeft], { faults: ['EndAccess * 3014'] })
    assert.is(refused?.failure, undefined)
  },
)

vddk('a snapshot is never written, nor is a disk that was opened for reading', async () => {
  const results = await steps([
    { ...openSnapshot, writable: true },
    open,
    { do: 'write', offset: 0, length: 512, fill: 1 },
    close,
    { ...open, snapshotId: 'none' },
  ])
  assert.equal([results[0]?.failure?.name, results[0]?.failure?.reason], ['TerminalError', 'SnapshotReadOnly'])
  assert.is(results[2]?.failure?.reason, 'VddkAccessDenied')
  assert.equal([results[4]?.failure?.name, results[4]?.failure?.reason], ['TerminalError', 'VddkSnapshotNotFound'])
  assert.ok(readFileSync(folder.dataPath('disk-1')).equals(CONTENT))
})

vddk('a disk has one writer', async () => {
  const writer: Step[] = [{ ...open, writable: true }, { do: 'meet' }, { do: 'meet' }, close]
  const second: Step[] = [{ do: 'meet' }, { ...open, writable: true }, open, { do: 'meet' }]
  const { workers } = survived(await run({ workers: [writer, second] }))
  assert.equal([workers[1]?.[1]?.failure?.name, workers[1]?.[1]?.failure?.reason], ['RetryableError', 'VddkDiskLocked'])
  assert.is(workers[1]?.[2]?.failure?.reason, 'VddkDiskLocked')
})

vddk('refuses what is no whole sector of the disk, and a closed disk, before VDDK sees it', async () => {
  const results = await steps([
    openSnapshot,
    { do: 'read', offset: 1, length: 512 },
    { do: 'read', offset: 0, length: 100 },
    { do: 'read', offset: -512, length: 512 },
    { do: 'read', offset: CAPACITY - 512, length: 1024 },
    { do: 'allocated', offset: 0, length: CAPACITY + 512 },
    close,
    close,
    { do: 'read', offset: 0, length: 512 },
    { do: 'flush' },
  ])
  const names = results.map(({ failure }) => failure?.name)
  assert.equal(names.slice(1, 6), ['RangeError', 'RangeError', 'RangeError', 'RangeError', 'RangeError'])
  assert.equal(names.slice(6), [undefined, undefined, 'Error', 'Error'])
  assert.is(calls('Read', 'Flush', 'QueryAllocatedBlocks').length, 0)
})

vddk('a close that fails is an error for a written disk only', async () => {
  const faults = ['Close 1 36', 'Close 2 36']
  const results = await steps([{ ...open, writable: true }, close, openSnapshot, close], { faults })
  assert.equal([results[1]?.failure?.reason, results[3]?.failure], ['VddkConnectionLost', undefined])
})

vddk('workers open and close at the same time without overlapping in VDDK; with a lock each they would', async () => {
  const reopen: Step[] = [{ do: 'meet' }, { ...openSnapshot, do: 'reopen', times: 3 }]
  const plan: ChildPlan = { workers: [reopen, reopen, reopen] }
  const env = { FAKE_VDDK_LATENCY_US: '3000' }
  const { workers } = survived(await run(plan, { env }))
  assert.equal(
    workers.flat().filter(({ failure }) => failure !== undefined),
    [],
  )
  assert.is(calls('Open').length, 9)

  const apart = await run({ ...plan, wrong: 'a lock per worker' }, { env })
  assert.is(apart.signal, 'SIGABRT')
  assert.match(apart.stderr, 'another thread is in Connect, Open, Close or Disconnect')
})

vddk('gives VDDK its settings, and too large buffers are noticed when a disk is opened', async () => {
  const configFile = join(scratch, 'vddk.conf')
  const plan: ChildPlan = { workers: [[openSnapshot, close]], configFile }
  writeFileSync(configFile, renderVddkConfig([], scratch))
  const good = await run(plan)
  assert.is(survived(good).workers[0]?.[0]?.capacityBytes, CAPACITY)
  assert.not.match(good.stderr, 'unknown name')

  writeFileSync(configFile, readFileSync(configFile, 'utf8').replace('BufCount=4', 'BufCount=400'))
  assert.is(survived(await run(plan)).workers[0]?.[0]?.failure?.reason, 'VddkOpenFailed')
  assert.is((await run({ ...plan, configFile: join(scratch, 'none') })).report?.failure?.reason, 'VddkNotLoadable')
})

vddk("VDDK's log goes to stderr, also from its own threads", async () => {
  const { stderr } = await run({ workers: [[openSnapshot, close]] })
  assert.match(stderr, /background thread \d+, started, 1\.5, 1099511627776/)
  assert.match(stderr, 'connected to vcenter.example for disk-1, transport nbdssl')
})

const WRONG: [wrong: NonNullable<ChildPlan['wrong']>, words: string][] = [
  ['no deep binding', 'a part of VDDK could not be started'],
  ['init in a worker', 'initVddk must be called on the main thread'],
  ['init twice', 'initVddk was called before in this process'],
  ['workers before init', 'from a thread that was created before InitEx'],
]
for (const [wrong, words] of WRONG) {
  vddk(`notices ${wrong}`, async () => {
    const { report, stderr } = await run({ workers: [[{ do: 'meet' }, openSnapshot, close]], wrong })
    assert.match(`${report?.failure?.message} ${stderr}`, words)
  })
}

vddk('says what to do when the loader was not prepared, or VDDK is not there', async () => {
  folder.start([])
  const { LD_LIBRARY_PATH, ...unprepared } = vddkEnvironment(scratch, folder.environment())
  assert.is(LD_LIBRARY_PATH, join(scratch, 'lib64'))
  const { report } = await runChild({ workers: [] }, unprepared)
  assert.is(report?.failure?.reason, 'VddkNotLoadable')
  assert.match(report?.failure?.message ?? '', `started with LD_LIBRARY_PATH=${join(scratch, 'lib64')}`)
  assert.throws(
    () => vddkEnvironment(join(scratch, 'disks'), {}),
    (error: Error & { reason: string }) =>
      error.reason === 'VddkNotFound' && /set DORMOUSE_VDDK_DIR/.test(error.message),
  )
})

vddk('finds a library that lies in the folder itself, and keeps what LD_LIBRARY_PATH held', () => {
  const env = vddkEnvironment(join(scratch, 'lib64'), { LD_LIBRARY_PATH: '/opt/other', HOME: '/h' })
  assert.equal(env, {
    DORMOUSE_VDDK_DIR: join(scratch, 'lib64'),
    LD_LIBRARY_PATH: `${join(scratch, 'lib64')}:/opt/other`,
    HOME: '/h',
  })
})

vddk.run()
