// `work`, never twice at once: asked again while it runs, it runs once more after that. Each call returns the promise of the end.
export function oneAtATime(work) {
  let again = false;
  let busy = null;
  return () => {
    again = true;
    busy ??= (async () => {
      try {
        while (again) {
          again = false;
          await work();
        }
      } finally {
        busy = null;
      }
    })();
    return busy;
  };
}
