// A program that runs beside the environment: its log file, its signals, its end. It is killed when the starter dies (leash.c).

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

type ProgramOptions = {
  /** Used in messages, and as the name of the log file. */
  name: string
  leash: string
  command: string[]
  logFolder: string
  /** All variables of the program: the user's own are not inherited. PATH and HOME are added. */
  env?: Record<string, string>
  folder?: string
}

type ProgramEnd = { code: number | null }

export class Program {
  readonly name: string
  readonly logFile: string
  /** Process id of the leash, which is the parent of the program. */
  readonly leashPid: number
  readonly ended: Promise<ProgramEnd>
  private readonly child: ChildProcess
  private end: ProgramEnd | undefined

  private constructor(name: string, logFile: string, child: ChildProcess, leashPid: number) {
    this.name = name
    this.logFile = logFile
    this.child = child
    this.leashPid = leashPid
    this.ended = new Promise((resolve) => {
      child.once('exit', (code) => {
        this.end = { code }
        resolve(this.end)
      })
    })
  }

  static async start(options: ProgramOptions): Promise<Program> {
    const logFile = path.join(options.logFolder, `${options.name}.log`)
    const log = openSync(logFile, 'a')
    const child = spawn(options.leash, options.command, {
      stdio: ['pipe', log, log],
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: os.homedir(), ...options.env },
      ...(options.folder === undefined ? {} : { cwd: options.folder }),
    })
    closeSync(log)
    // The leash may end while a signal is on its way, which does no harm.
    child.stdin?.on('error', () => {})
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
    })
    return new Program(options.name, logFile, child, child.pid!)
  }

  get running(): boolean {
    return this.end === undefined
  }

  /** Sends the signal to the program itself, not to the leash. */
  signal(name: NodeJS.Signals): void {
    if (this.running) this.child.stdin?.write(Uint8Array.of(os.constants.signals[name]))
  }

  /** Sends SIGTERM, and SIGKILL after `graceMs`. A second call does nothing. */
  async stop(graceMs = 5000): Promise<ProgramEnd> {
    this.signal('SIGTERM')
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs)
    const end = await this.ended
    clearTimeout(timer)
    return end
  }

  async kill(): Promise<ProgramEnd> {
    this.signal('SIGKILL')
    return await this.ended
  }

  /** The end of the log, for messages. */
  async logTail(lines = 15): Promise<string> {
    const text = await readFile(this.logFile, 'utf8').catch(() => '')
    return text.trimEnd().split('\n').slice(-lines).join('\n')
  }

  /** Polls `probe` until it is true; fails with the end of the log when the program stops or the time is up. */
  async ready(probe: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs
    while (!(await probe().catch(() => false))) {
      if (!this.running) throw new Error(`${this.name} ended with ${this.end?.code}:\n${await this.logTail()}`)
      if (performance.now() > deadlineMs) {
        throw new Error(`${this.name} was not ready after ${timeoutMs} ms:\n${await this.logTail()}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
  }
}
