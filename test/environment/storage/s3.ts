// A real S3 server (versitygw over a folder) with one bucket that is created through the API.

import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import path from 'node:path'
import { CreateBucketCommand, GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import type { Authority } from '../kubernetes/certificates.ts'
import { Program } from '../process/child.ts'
import { accepts, type Ports } from '../process/ports.ts'

type S3Options = {
  folder: string
  logFolder: string
  leash: string
  program: string
  ports: Ports
  authority: Authority
  tls: boolean
}
export type BucketObject = { key: string; bytes: number }

const BUCKET = 'dormouse'
const REGION = 'us-east-1'

export class S3Server {
  /** The address that the environment itself uses. */
  readonly url: string
  /** The address that users are told. */
  shownUrl: string
  /** File of its certificate (`.crt`) and key (`.key`), when it speaks TLS. */
  readonly certificate: string | undefined
  readonly bucket = BUCKET
  readonly region = REGION
  readonly accessKeyId = 'dormouse-environment'
  readonly secretAccessKey = randomBytes(20).toString('hex')
  /** PEM, when it speaks TLS. */
  readonly caPem: string | undefined
  /** An AWS credentials file with these keys. */
  readonly credentialsFile: string
  readonly client: S3Client
  private readonly options: S3Options
  private readonly port: number
  private readonly agent: http.Agent
  private server: Program | undefined

  private constructor(options: S3Options, port: number) {
    this.options = options
    this.port = port
    this.url = `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}`
    this.shownUrl = this.url
    this.certificate = options.tls ? path.join(options.folder, 's3') : undefined
    this.caPem = options.tls ? options.authority.certPem : undefined
    this.credentialsFile = path.join(options.folder, 'credentials')
    this.agent = options.tls
      ? new https.Agent({ keepAlive: true, ca: this.caPem })
      : new http.Agent({ keepAlive: true })
    this.client = new S3Client({
      region: REGION,
      endpoint: this.url,
      forcePathStyle: true,
      credentials: { accessKeyId: this.accessKeyId, secretAccessKey: this.secretAccessKey },
      requestHandler: new NodeHttpHandler({ httpAgent: this.agent, httpsAgent: this.agent as https.Agent }),
    })
  }

  static async start(options: S3Options): Promise<S3Server> {
    const s3 = new S3Server(options, await options.ports.take())
    await mkdir(path.join(options.folder, 'data'), { recursive: true })
    await writeFile(s3.credentialsFile, s3.credentialsText(), { mode: 0o600 })
    if (options.tls) await s3.writeCertificate()
    await s3.up()
    await s3.client.send(new CreateBucketCommand({ Bucket: BUCKET }))
    return s3
  }

  /** Starts it again after `down`, with its data. `readOnly`: it serves reads, and refuses every change. */
  async up({ readOnly = false } = {}): Promise<void> {
    const { folder, leash, program, logFolder, tls } = this.options
    const mode = readOnly ? ['--readonly'] : []
    const certificate = tls ? ['--cert', path.join(folder, 's3.crt'), '--key', path.join(folder, 's3.key')] : []
    const backend = ['posix', '--data-integrity-etag', path.join(folder, 'data')]
    this.server = await Program.start({
      name: 'versitygw',
      leash,
      command: [
        program,
        '--port',
        `127.0.0.1:${this.port}`,
        '--keep-alive',
        '--quiet',
        ...mode,
        ...certificate,
        ...backend,
      ],
      logFolder,
      env: { ROOT_ACCESS_KEY: this.accessKeyId, ROOT_SECRET_KEY: this.secretAccessKey },
    })
    await this.server.ready(() => accepts(this.port))
  }

  /** Pid of its leash. */
  get pid(): number | undefined {
    return this.server?.leashPid
  }

  async down(): Promise<void> {
    await this.server?.kill()
    // A busy test may not have read yet that these connections are closed, and would send its next calls into them.
    this.agent.destroy()
  }

  /** Text of an AWS credentials file, as Velero keeps it in its Secret. */
  credentialsText(): string {
    return `[default]\naws_access_key_id=${this.accessKeyId}\naws_secret_access_key=${this.secretAccessKey}\n`
  }

  /** Every object of the bucket, in key order. */
  async objects(prefix = ''): Promise<BucketObject[]> {
    const found: BucketObject[] = []
    let token: string | undefined
    do {
      const page = await this.client.send(
        new ListObjectsV2Command({ Bucket: BUCKET, Prefix: prefix, ...(token ? { ContinuationToken: token } : {}) }),
      )
      for (const { Key = '', Size = 0 } of page.Contents ?? []) found.push({ key: Key, bytes: Size })
      token = page.NextContinuationToken
    } while (token !== undefined)
    return found
  }

  async read(key: string): Promise<Buffer> {
    const { Body } = await this.client.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }))
    if (Body === undefined) throw new Error(`${key} has no body`)
    return Buffer.from(await Body.transformToByteArray())
  }

  async stop(): Promise<void> {
    this.client.destroy()
    this.agent.destroy()
    await this.down()
  }

  private async writeCertificate(): Promise<void> {
    const { folder, authority } = this.options
    const { certPem, keyPem } = authority.serverCertificate(['127.0.0.1', 'localhost'])
    await writeFile(path.join(folder, 's3.crt'), certPem)
    await writeFile(path.join(folder, 's3.key'), keyPem, { mode: 0o600 })
  }
}
