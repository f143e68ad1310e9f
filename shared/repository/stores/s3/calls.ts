// The S3 calls that a repository needs. Each is one attempt, with the location's encryption and tags. Only this file loads the SDK;
// store.ts imports it with the first call.

import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import type { IncompleteUpload, StoredObject } from '#shared/ports/object-store.ts'
import { checkBucket, checkList, checkNext, checkRange, ForeignAnswer, nameBelow, nextOf } from './answers.ts'
import { readBody } from './body.ts'
import { BodyBuffers } from './body-buffers.ts'
import { addAnswerCheck } from './check-answers.ts'
import { createClient } from './client.ts'
import { statusOf } from './errors.ts'
import type { TransportOptions } from './options.ts'
import { checksumFields, formsOf, mayBeTaken, type PutForm } from './put-form.ts'
import type { S3Settings } from './settings.ts'

/** User metadata on every object: which call wrote it. */
const TOKEN = 'dormouse-put'

/**
 * XML cannot contain control characters. A store that spells such a character in another way would list its keys in another order than
 * theirs.
 */
const ESCAPED = { EncodingType: 'url' } as const

export type PutCall = { key: string; body: Uint8Array; token: string; onlyIfAbsent: boolean }
type HeadAnswer = { bytes: number; token: string | undefined }
export type IncompletePosition = { key?: string | undefined; id?: string | undefined }
type IncompletePage = { uploads: IncompleteUpload[]; next: IncompletePosition | undefined }
type ListPage = { objects: StoredObject[]; next: string | undefined }

export class S3Calls {
  private readonly client: S3Client
  private readonly settings: S3Settings
  private readonly maxObjectBytes: number
  private readonly buffers: BodyBuffers
  /** How objects are written; undefined: the store has accepted no object yet. */
  private form: PutForm | undefined

  constructor(settings: S3Settings, transport: TransportOptions) {
    this.buffers = new BodyBuffers(transport.keepBufferBytes)
    this.client = createClient(settings, transport, this.buffers)
    addAnswerCheck(this.client)
    this.settings = settings
    this.maxObjectBytes = transport.maxObjectBytes
  }

  async get(key: string, signal?: AbortSignal): Promise<Uint8Array> {
    return await this.bodyOf(
      await this.client.send(new GetObjectCommand({ ...this.at(key), ...this.customerKey() }), abortable(signal)),
    )
  }

  /** `lengthBytes` is at least 1. */
  async getRange(key: string, offsetBytes: number, lengthBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
    const Range = `bytes=${offsetBytes}-${offsetBytes + lengthBytes - 1}`
    const answer = await this.client.send(
      new GetObjectCommand({ ...this.at(key), ...this.customerKey(), Range }),
      abortable(signal),
    )
    const bytes = await this.bodyOf(answer)
    // A server may ignore the range and send the whole object (RFC 9110, 14.2).
    if (answer.$metadata.httpStatusCode !== 206) return bytes.subarray(offsetBytes, offsetBytes + lengthBytes)
    checkRange(answer.ContentRange, offsetBytes, lengthBytes, bytes.length)
    return bytes
  }

  /** The first PUT tries the forms one after the other; the form that the store accepts is kept. */
  async put(call: PutCall, signal?: AbortSignal): Promise<void> {
    const forms = this.form === undefined ? formsOf(this.settings) : [this.form]
    for (const [index, form] of forms.entries()) {
      try {
        await this.putOnce(call, form, signal)
        this.form = form
        return
      } catch (error) {
        const next = forms[index + 1]
        if (next === undefined || !mayBeTaken(next, error as Error)) throw error
      }
    }
  }

  async head(key: string, signal?: AbortSignal): Promise<HeadAnswer> {
    const answer = await this.client.send(
      new HeadObjectCommand({ ...this.at(key), ...this.customerKey() }),
      abortable(signal),
    )
    return { bytes: answer.ContentLength ?? 0, token: answer.Metadata?.[TOKEN] }
  }

  async list(prefix: string, from: string | undefined, signal?: AbortSignal): Promise<ListPage> {
    const command = new ListObjectsV2Command({
      Bucket: this.settings.bucket,
      Prefix: prefix,
      ...ESCAPED,
      ...(from === undefined ? {} : { ContinuationToken: from }),
    })
    const page = await this.client.send(command, abortable(signal))
    const objects = checkList(page, this.settings.bucket, prefix).map(({ Key, Size, LastModified }) => ({
      key: Key,
      bytes: Size,
      modifiedMs: LastModified.getTime(),
    }))
    return { objects, next: nextOf(page) }
  }

  /** Unfinished multipart uploads after that position, in the order of the store. */
  async listIncomplete(prefix: string, from: IncompletePosition, signal?: AbortSignal): Promise<IncompletePage> {
    const { key, id } = from
    const after = key === undefined ? {} : { KeyMarker: key, ...(id === undefined ? {} : { UploadIdMarker: id }) }
    const command = new ListMultipartUploadsCommand({
      Bucket: this.settings.bucket,
      Prefix: prefix,
      ...ESCAPED,
      ...after,
    })
    const page = await this.client.send(command, abortable(signal))
    checkBucket(page.Bucket, this.settings.bucket)
    const nameOf = (told: string) => (page.EncodingType === 'url' ? nameBelow(told, prefix) : told)
    const uploads = (page.Uploads ?? []).map(({ Key = '', UploadId = '', Initiated }) => ({
      key: nameOf(Key),
      id: UploadId,
      // An upload of unknown age counts as young.
      startedMs: Initiated?.getTime() ?? Number.POSITIVE_INFINITY,
    }))
    const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page
    checkNext(IsTruncated, NextKeyMarker)
    return {
      uploads,
      next: IsTruncated === true ? { key: nameOf(NextKeyMarker ?? ''), id: NextUploadIdMarker } : undefined,
    }
  }

  async abortIncomplete(key: string, id: string, signal?: AbortSignal): Promise<void> {
    await this.client.send(new AbortMultipartUploadCommand({ ...this.at(key), UploadId: id }), abortable(signal))
  }

  /** 204 comes from the store. A plain 200 may come from something else: then the object must be seen to be gone. */
  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const { $metadata } = await this.client.send(new DeleteObjectCommand(this.at(key)), abortable(signal))
    if ($metadata.httpStatusCode === 204) return
    if (await this.isAbsent(key, signal)) return
    throw new ForeignAnswer(`it says ${$metadata.httpStatusCode} to a deletion, and the object is still there`)
  }

  /** Relies on the store's own error code: a 404 alone may come from a proxy, and HEAD returns nothing else. */
  async isAbsent(key: string, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.getRange(key, 0, 1, signal)
    } catch (error) {
      if (statusOf(error) === 404 && (error as Error).name === 'NoSuchKey') return true
      // An empty object has no such range.
      if (statusOf(error) !== 416) throw error
    }
    return false
  }

  release(bytes: Uint8Array): void {
    this.buffers.giveBack(bytes)
  }

  close(): void {
    this.client.destroy()
  }

  private async putOnce(call: PutCall, form: PutForm, signal?: AbortSignal): Promise<void> {
    const { serverSideEncryption, kmsKeyId, tagging } = this.settings
    const command = new PutObjectCommand({
      ...this.at(call.key),
      ...this.customerKey(),
      ...(call.onlyIfAbsent ? { IfNoneMatch: '*' } : {}),
      ...(serverSideEncryption === undefined ? {} : { ServerSideEncryption: serverSideEncryption }),
      ...(kmsKeyId === undefined ? {} : { SSEKMSKeyId: kmsKeyId }),
      ...(tagging === undefined ? {} : { Tagging: tagging }),
      Body: call.body,
      ...checksumFields(form.checksum, call.body),
      Metadata: { [TOKEN]: call.token },
    })
    if (form.payload === 'unsigned') {
      command.middlewareStack.add(
        (next) => (args) => {
          const request = args.request as { headers: Record<string, string> }
          request.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD'
          return next(args)
        },
        { step: 'build', name: 'unsignedPayload' },
      )
    }
    await this.client.send(command, abortable(signal))
  }

  private at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.settings.bucket, Key: key }
  }

  private customerKey(): { SSECustomerAlgorithm?: string; SSECustomerKey?: string } {
    const key = this.settings.customerKey
    return key === undefined ? {} : { SSECustomerAlgorithm: 'AES256', SSECustomerKey: key }
  }

  private async bodyOf(answer: GetObjectCommandOutput): Promise<Uint8Array> {
    return await readBody(answer.Body, answer.ContentLength, this.maxObjectBytes)
  }
}

function abortable(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal }
}
