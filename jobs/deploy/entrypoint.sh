#!/bin/bash
# What a container of the image does: Kubernetes asks for a Spark `driver` or `executor`; any other words are a command.
# The variables are those that Spark's Kubernetes scheduler gives (resource-managers/kubernetes in Spark's source).
set -euo pipefail

# A cluster may run the container as a user that /etc/passwd does not know; Hadoop's login wants a name.
if ! id -un >/dev/null 2>&1 && [ -w /etc/passwd ]; then
  echo "spark:x:$(id -u):$(id -g)::${HOME}:/bin/sh" >> /etc/passwd
fi

class_path="${SPARK_EXTRA_CLASSPATH:+${SPARK_EXTRA_CLASSPATH}:}${SPARK_HOME}/jars/*"
[ -z "${SPARK_CONF_DIR:-}" ] || class_path="${SPARK_CONF_DIR}:${class_path}"

case "${1:-}" in
  driver)
    shift
    exec "${SPARK_HOME}/bin/spark-submit" \
      --conf "spark.driver.bindAddress=${SPARK_DRIVER_BIND_ADDRESS}" \
      --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=${SPARK_DRIVER_BIND_ADDRESS}" \
      --deploy-mode client "$@"
    ;;
  executor)
    options=()
    for name in $(compgen -v SPARK_JAVA_OPT_ | sort -V); do options+=("${!name}"); done
    exec "${JAVA_HOME}/bin/java" ${options[@]+"${options[@]}"} \
      "-Xms${SPARK_EXECUTOR_MEMORY}" "-Xmx${SPARK_EXECUTOR_MEMORY}" -cp "${class_path}" \
      org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
      --driver-url "${SPARK_DRIVER_URL}" --executor-id "${SPARK_EXECUTOR_ID}" --cores "${SPARK_EXECUTOR_CORES}" \
      --app-id "${SPARK_APPLICATION_ID}" --hostname "${SPARK_EXECUTOR_POD_IP}" \
      --resourceProfileId "${SPARK_RESOURCE_PROFILE_ID:-0}" --podName "${SPARK_EXECUTOR_POD_NAME}"
    ;;
  *)
    exec "$@"
    ;;
esac
