// Starts an environment in the background, and ends it.
// Usage: node test/environment/cli.ts up | down | status | bucket [PREFIX]

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { openSync, readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { startEnvironment } from './environment.ts'
import { identity } from './folder.ts'
import { CACHE, PROJECT } from './process/tools.ts'
import { prepareSamples } from './sample-ground.ts'

type State = {
  /** Process id and start time of the background process. */
  owner: string
  kubeconfig: string
  kubectl: string
  s3: {
    url: string
    bucket: string
    region: string
    accessKeyId: string
    secretAccessKey: string
    credentialsFile: string
  }
  vcenter: string
  logs: string
}

/** One state folder per checkout, outside of it: `make clean` must not remove a running environment's files. */
const HOME = path.join(CACHE, 'environments', createHash('sha256').update(PROJECT).digest('hex').slice(0, 12))
const STATE_FILE = path.join(HOME, 'state.json')
const LOG_FILE = path.join(HOME, 'up.log')
const POLL_MS = 100

const COMMANDS: Record<string, () => Promise<void>> = { up, down, status, bucket, serve }

const command = COMMANDS[process.argv[2] ?? '']
if (command === undefined) {
  console.error('usage: node test/environment/cli.ts up | down | status | bucket [PREFIX]')
  process.exit(64)
}
await command().catch((error: Error) => {
  console.error(error.message)
  process.exitCode = 1
})

async function up(): Promise<void> {
  const running = readState()
  if (running !== undefined) {
    console.log(summary(running))
    return
  }
  await rm(HOME, { recursive: true, force: true })
  await mkdir(HOME, { recursive: true })
  const log = openSync(LOG_FILE, 'w')
  const server = spawn(process.execPath, [import.meta.filename, 'serve'], {
    detached: true,
    stdio: ['ignore', log, log],
  })
  let shown = 0
  for (;;) {
    const text = readFileSync(LOG_FILE, 'utf8')
    process.stderr.write(text.slice(shown))
    shown = text.length
    const state = readState()
    if (state !== undefined) {
      server.unref()
      console.log(summary(state))
      return
    }
    if (server.exitCode !== null || server.signalCode !== null)
      throw new Error('the environment did not start, see above')
    await sleep(POLL_MS)
  }
}

async function down(): Promise<void> {
  const state = readState()
  if (state === undefined) {
    console.log('no environment of this checkout is running')
    return
  }
  const pid = Number(state.owner.split(' ')[0])
  const isRunning = () => identity(pid) === state.owner
  process.kill(pid, 'SIGTERM')
  for (let waitedMs = 0; isRunning() && waitedMs < 45_000; waitedMs += POLL_MS) await sleep(POLL_MS)
  // All programs that it started end with it, so nothing is left behind this way either.
  if (isRunning()) process.kill(pid, 'SIGKILL')
  await rm(HOME, { recursive: true, force: true })
  console.log('the environment is down')
}

async function status(): Promise<void> {
  const state = readState()
  console.log(state === undefined ? 'no environment of this checkout is running' : summary(state))
  if (state === undefined) process.exitCode = 3
}

/** Prints size and key of each object in the bucket, one a line. */
async function bucket(): Promise<void> {
  const state = readState()
  if (state === undefined) throw new Error('no environment of this checkout is running; start one with: make up')
  const { url, region, accessKeyId, secretAccessKey } = state.s3
  const credentials = { accessKeyId, secretAccessKey }
  const client = new S3Client({ endpoint: url, region, forcePathStyle: true, credentials })
  let token: string | undefined
  do {
    const more = token === undefined ? {} : { ContinuationToken: token }
    const wanted = { Bucket: state.s3.bucket, Prefix: process.argv[3] ?? '', ...more }
    const page = await client.send(new ListObjectsV2Command(wanted))
    for (const { Key, Size } of page.Contents ?? []) console.log(`${String(Size).padStart(12)}  ${Key}`)
    token = page.NextContinuationToken
  } while (token !== undefined)
}

/** The background process. Its children would keep it alive after a failure, so it exits explicitly, and they end with it. */
async function serve(): Promise<void> {
  await runInBackground().catch((error: Error) => {
    console.error(error.message)
    process.exit(1)
  })
}

async function runInBackground(): Promise<void> {
  const environment = await startEnvironment({
    folder: path.join(HOME, 'environment'),
    say: (line) => console.error(line),
  })
  await prepareSamples(environment)
  console.error('a volume and a repository for config/samples are there')
  const { parts, kubeconfig, s3, vcenter } = environment
  const { url, bucket: name, region, accessKeyId, secretAccessKey, credentialsFile } = s3
  const state: State = {
    owner: identity(process.pid)!,
    kubeconfig,
    kubectl: parts.kubectlProgram,
    s3: { url, bucket: name, region, accessKeyId, secretAccessKey, credentialsFile },
    vcenter: `https://${vcenter.host}:${vcenter.port}`,
    logs: parts.logFolder,
  }
  await writeFile(STATE_FILE, JSON.stringify(state), { mode: 0o600 })
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => void environment.stop().finally(() => process.exit(0)))
  }
}

function readState(): State | undefined {
  try {
    const state = JSON.parse(readFileSync(STATE_FILE, 'utf8')) as State
    return identity(Number(state.owner.split(' ')[0])) === state.owner ? state : undefined
  } catch {
    return undefined
  }
}

function summary({ kubeconfig, kubectl, s3, vcenter, logs }: State): string {
  return `
  vCenter   ${vcenter}   (simulator)
  S3        ${s3.url}, bucket ${s3.bucket}; keys in ${s3.credentialsFile}
  bucket    node_modules/.bin/node test/environment/cli.ts bucket
  logs      ${logs}

In your shell:

export KUBECONFIG=${kubeconfig}
export PATH=${path.dirname(kubectl)}:$PATH

A backup of the volume shop/orders, and a look at it:

kubectl apply -f config/samples/snapshot.yaml
kubectl get dormouse -A
kubectl get snapshots.backupdriver.cnsdp.vmware.com -A -w
`
}
