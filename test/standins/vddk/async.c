/* Asynchronous transfers: a thread per handle that completes them newest first, so nobody may rely on their order. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <time.h>

#include "standin.h"

typedef struct Job {
  Call call;
  SectorType start, count;
  uint8_t *into;
  const uint8_t *from;
  CompletionFn *done;
  void *data;
  struct Job *older;
} Job;

struct AsyncQueue {
  Handle *handle;
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  Job *newest;
  int outstanding;
  bool draining, stopping;
};

static VixError transfer(Handle *handle, const Job *job) {
  pace_bytes(job->count * SECTOR_BYTES);
  if (job->into) return store_read(&handle->store, job->start, job->count, job->into);
  return store_write(&handle->store, job->start, job->count, job->from);
}

static void complete(AsyncQueue *queue, Job *job) {
  VixError error = job->call.planned ? job->call.planned : transfer(queue->handle, job);
  job->done(job->data, end_call(&job->call, error));
  free(job);
}

/* Waits for a second job, so that there is an order to turn around; not for long, and not when the caller waits itself. */
static void let_jobs_gather(AsyncQueue *queue) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 50000000;
  until.tv_sec += until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  while (!queue->newest->older && !queue->draining && !queue->stopping)
    if (pthread_cond_timedwait(&queue->changed, &queue->mutex, &until) != 0) return;
}

static void *async_loop(void *argument) {
  AsyncQueue *queue = argument;
  pthread_mutex_lock(&queue->mutex);
  while (!queue->stopping) {
    if (!queue->newest) {
      pthread_cond_wait(&queue->changed, &queue->mutex);
      continue;
    }
    let_jobs_gather(queue);
    Job *job = queue->newest;
    queue->newest = job->older;
    pthread_mutex_unlock(&queue->mutex);
    complete(queue, job);
    pthread_mutex_lock(&queue->mutex);
    queue->outstanding--;
    pthread_cond_broadcast(&queue->changed);
  }
  pthread_mutex_unlock(&queue->mutex);
  return NULL;
}

static AsyncQueue *queue_of(Handle *handle) {
  if (handle->queue) return handle->queue;
  AsyncQueue *queue = calloc(1, sizeof *queue);
  if (!queue) abort();
  queue->handle = handle;
  pthread_mutex_init(&queue->mutex, NULL);
  pthread_cond_init(&queue->changed, NULL);
  if (pthread_create(&queue->thread, NULL, async_loop, queue) != 0) abort();
  return handle->queue = queue;
}

static void enqueue(AsyncQueue *queue, const Job *job) {
  Job *copy = malloc(sizeof *copy);
  if (!copy) abort();
  *copy = *job;
  pthread_mutex_lock(&queue->mutex);
  copy->older = queue->newest;
  queue->newest = copy;
  queue->outstanding++;
  pthread_cond_broadcast(&queue->changed);
  pthread_mutex_unlock(&queue->mutex);
}

static VixError submit(Handle *handle, enum call_kind kind, Job job) {
  if (!may_call(call_name(kind))) return VIX_E_NOINIT;
  take_handle(handle, call_name(kind));
  VixError error = job.done ? VIX_OK : VIX_E_INVALID_ARG;
  if (handle->mode == IO_SYNC) error = VIX_E_ASYNC_MIXEDMODE_UNSUPPORTED;
  if (error == VIX_OK && kind == CALL_WRITE_ASYNC && !handle->writable) error = VIX_E_FILE_ACCESS_ERROR;
  if (error == VIX_OK) error = check_range(handle, job.start, job.count, job.into ? job.into : job.from);
  job.call = begin_call(kind, handle->number, job.start, job.count);
  if (error == VIX_OK) {
    handle->mode = IO_ASYNC;
    enqueue(queue_of(handle), &job);
  }
  release_handle(handle);
  return error == VIX_OK ? (VixError)VIX_ASYNC : end_call(&job.call, error);
}

VixError VixDiskLib_ReadAsync(Handle *handle, SectorType start, SectorType count, uint8_t *buffer, CompletionFn *done,
                              void *data) {
  return submit(handle, CALL_READ_ASYNC, (Job){.start = start, .count = count, .into = buffer, .done = done, .data = data});
}

VixError VixDiskLib_WriteAsync(Handle *handle, SectorType start, SectorType count, const uint8_t *buffer,
                               CompletionFn *done, void *data) {
  return submit(handle, CALL_WRITE_ASYNC, (Job){.start = start, .count = count, .from = buffer, .done = done, .data = data});
}

static void drain(AsyncQueue *queue) {
  pthread_mutex_lock(&queue->mutex);
  queue->draining = true;
  pthread_cond_broadcast(&queue->changed);
  while (queue->outstanding > 0) pthread_cond_wait(&queue->changed, &queue->mutex);
  queue->draining = false;
  pthread_mutex_unlock(&queue->mutex);
}

VixError VixDiskLib_Wait(Handle *handle) {
  if (!may_call("Wait")) return VIX_E_NOINIT;
  take_handle(handle, "Wait");
  Call call = begin_call(CALL_WAIT, handle->number, 0, 0);
  if (handle->queue) drain(handle->queue);
  release_handle(handle);
  return end_call(&call, call.planned);
}

bool async_is_idle(Handle *handle) {
  if (!handle->queue) return true;
  pthread_mutex_lock(&handle->queue->mutex);
  bool idle = handle->queue->outstanding == 0;
  pthread_mutex_unlock(&handle->queue->mutex);
  return idle;
}

void stop_async(Handle *handle) {
  AsyncQueue *queue = handle->queue;
  if (!queue) return;
  pthread_mutex_lock(&queue->mutex);
  queue->stopping = true;
  pthread_cond_broadcast(&queue->changed);
  pthread_mutex_unlock(&queue->mutex);
  pthread_join(queue->thread, NULL);
  free(queue);
  handle->queue = NULL;
}
